"""Flower, closed: `celery -A workers.flower flower …`.

Flower asks for its password everywhere but at `/metrics`, which names workers and tasks to whoever asks, and at
`/healthcheck`. Importing this module adds the question, and has the pages of tasks and of queues say what they don't
show. It also reads the password's file, and refuses to go on without a password: Flower would be open.
"""

import os
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

from flower.api.tasks import GetQueueLengths
from flower.urls import settings
from flower.views.broker import BrokerView
from flower.views.monitor import Healthcheck, Metrics
from tornado.options import options
from tornado.template import Loader, Template
from tornado.web import authenticated

from tasks import errors, secretfiles
from workers import messenger

secretfiles.require()
if ":" not in os.environ.get("FLOWER_BASIC_AUTH", ""):
    raise errors.SettingsError("settings: FLOWER_BASIC_AUTH must be user:password")

NOTE = """
<p class="alert alert-secondary mx-4 mt-3 mb-0" role="note">
A task is a job, under the job's id. As workers tell it here: FAILURE is failed, REVOKED is cancelled or expired, RETRY
goes on later or in its next stage; the result says why. Not shown are jobs that wait in PostgreSQL or were cancelled
there, nor what came before Flower was told. A task whose worker died stays STARTED until another has its job. How a job
stands is known by <code>GET /v1/jobs/{id}</code>.
</p>
"""

NOTE_OF_QUEUES = """
<p class="alert alert-secondary mx-4 mt-3 mb-0" role="note">
Shown are the queues of the workers that answer now, and how many jobs were sent there and wait for a slot: a few. The
others wait in PostgreSQL.
</p>
"""

Get = Callable[[Any], Awaitable[None]]

app = messenger.make()  # not the workers' own, which would bring all that runs jobs into this process, 40 MB

Metrics.get = authenticated(Metrics.get)
Healthcheck.get = authenticated(Healthcheck.get)


def once_workers_are_asked(get: Get) -> Get:
    """Flower asks workers which queues they have when it starts, some before they do, and seldom after that."""

    @wraps(get)
    async def asked(view: Any) -> None:
        await view.application.update_workers()
        await get(view)

    return asked


BrokerView.get = authenticated(once_workers_are_asked(BrokerView.get))
GetQueueLengths.get = authenticated(once_workers_are_asked(GetQueueLengths.get))


class Noted(Loader):
    """Flower's templates, with our notes on the pages that show tasks and queues."""

    notes: ClassVar = {"tasks.html": NOTE, "task.html": NOTE, "broker.html": NOTE_OF_QUEUES}
    begins = "{% block container %}\n"

    def _create_template(self, name: str) -> Template:
        text = Path(self.root, name).read_text()
        text = text.replace(self.begins, self.begins + self.notes.get(name, ""), 1)
        return Template(text, name=name, loader=self)


options.tasks_columns = "uuid,state,result,received,runtime,worker"  # every name is `job.run`
settings["template_loader"] = Noted(settings["template_path"])
