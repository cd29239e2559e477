"""Flower, closed: `celery -A workers.flower flower …`.

Flower asks for its password everywhere but at `/metrics`, which names workers and tasks to whoever asks, and at
`/healthcheck`. Importing this module adds the question, and has the pages of tasks say what they don't show. It also
reads the password's file, and refuses to go on without a password: Flower would be open.
"""

import os
from pathlib import Path

from flower.urls import settings
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

app = messenger.make()  # not the workers' own, which would bring all that runs jobs into this process, 40 MB

Metrics.get = authenticated(Metrics.get)
Healthcheck.get = authenticated(Healthcheck.get)


class Noted(Loader):
    """Flower's templates, with our note on the pages that show tasks."""

    noted = ("tasks.html", "task.html")
    begins = "{% block container %}\n"

    def _create_template(self, name: str) -> Template:
        text = Path(self.root, name).read_text()
        if name in self.noted:
            text = text.replace(self.begins, self.begins + NOTE, 1)
        return Template(text, name=name, loader=self)


options.tasks_columns = "uuid,state,result,received,runtime,worker"  # every name is `job.run`
settings["template_loader"] = Noted(settings["template_path"])
