"""Flower, closed: `celery -A workers.flower flower …`.

Flower asks for its password everywhere but at `/metrics`, which names workers and tasks to whoever asks. Importing this
module adds the question; `/healthcheck`, which says "OK" and nothing else, stays open.
"""

from flower.views.monitor import Metrics
from tornado.web import authenticated

from workers import messenger

app = messenger.make()  # not the workers' own, which would bring all that runs jobs into this process, 40 MB

Metrics.get = authenticated(Metrics.get)
