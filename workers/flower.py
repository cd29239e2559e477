"""Flower, closed: `celery -A workers.flower flower …`.

Flower asks for its password everywhere but at `/metrics`, which names workers and tasks to whoever asks. Importing this
module adds the question; `/healthcheck`, which says "OK" and nothing else, stays open. It also reads the password's
file, and refuses to go on without a password: Flower would be open.
"""

import os

from flower.views.monitor import Metrics
from tornado.web import authenticated

from tasks import errors, secretfiles
from workers import messenger

secretfiles.require()
if ":" not in os.environ.get("FLOWER_BASIC_AUTH", ""):
    raise errors.SettingsError("settings: FLOWER_BASIC_AUTH must be user:password")
app = messenger.make()  # not the workers' own, which would bring all that runs jobs into this process, 40 MB

Metrics.get = authenticated(Metrics.get)
