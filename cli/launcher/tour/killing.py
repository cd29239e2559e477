"""The tour kills a worker in the middle of an answer, and watches the answer go on."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field

from cli.client.client import ENDS, Client, Event, Job
from cli.launcher import leftovers, lineup
from cli.launcher.datafolder import DataFolder
from cli.launcher.tour import answers
from cli.launcher.tour.page import Page

# A story takes a fraction of a second: where one is over before its worker is dead, another is told.
TRIES = ("Oscar", "Paula", "Ruth", "Simon")
WORDS = 3  # so many are read before the kill


@dataclass(slots=True)
class Read:
    """What a reader of one job's events has got: their numbers, and the text of the pieces."""

    numbers: list[int] = field(default_factory=list)
    text: str = ""

    def take(self, event: Event) -> None:
        if event.id is not None:
            self.numbers.append(int(event.id.partition("-")[2]))
        if event.type == "restarted":
            self.text = ""
        elif event.type == "delta":
            self.text += event.data["text"]

    def is_whole(self, job: Job) -> bool:
        """Whether each event came once and in order, and the pieces make the text that was kept."""
        in_order = self.numbers == list(range(1, len(self.numbers) + 1))
        return in_order and self.text.strip() == job["result"]["message"]["content"].strip()


def show(page: Page, client: Client, folder: DataFolder) -> list[Job]:
    """Stories, until the worker of one was killed while it was being told; the jobs. At least one."""
    page.heading("3. A worker dies in mid-sentence")
    page.note(
        "The worker of the next story is killed when its first words are here, and the model in its memory dies with "
        f"it. The worker's process id stands in {folder.record.name} in the data folder."
    )
    jobs: list[Job] = []
    for name in TRIES:
        page.asked(f"Tell me a story about {name}.")
        jobs.append(_show_one(page, client, folder, client.submit(answers.story(name))))
        if jobs[-1]["error"] or jobs[-1]["attempt"] > 1:
            break
        page.note("That story was over before its worker was dead. Another:")
    return jobs


def kill_worker(folder: DataFolder, model: str) -> int | None:
    """Kills the model's worker that `forebay up` runs on this data folder; its process id. None when none runs."""
    pid = leftovers.running(folder.record).get(lineup.worker_name(model))
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pid


def _show_one(page: Page, client: Client, folder: DataFolder, job: Job) -> Job:
    """One story, whose worker is killed at its first words. The job as it ended, with its attempts."""
    read, words = Read(), page.words()
    killed_at: float | None = None
    for event in client.events(job["id"]):
        read.take(event)
        if event.type == "delta" and killed_at is None and len(read.text.split()) >= WORDS:
            pid, killed_at = kill_worker(folder, job["model"]), time.monotonic()
            words.write(event.data["text"])
            words.pause()
            _tell_kill(page, job, pid)
        elif event.type == "delta":
            words.write(event.data["text"])
        elif event.type == "resumed" and killed_at is not None:
            words.pause()
            _tell_resumption(page, event, time.monotonic() - killed_at)
        elif event.type in ENDS:
            words.end()
    job = client.get(job["id"])
    page.job(job, f"{job['attempt']} attempts" if job["attempt"] > 1 else None)
    if job["attempt"] > 1 and job["result"]:
        _tell_end(page, job, read)
    return job


def _tell_kill(page: Page, job: Job, pid: int | None) -> None:
    page.line("")
    if pid is None:
        page.note(f"No worker of {job['model']} runs here: there is nothing to kill.")
        return
    page.warn(f"kill -9 {pid}: the worker of {job['model']} is dead")
    page.note(
        "Its lease runs out within seconds; meanwhile `forebay up` starts another worker, which loads the model again. "
        "This reader just waits: its connection is to the API. What was streamed by now still comes."
    )
    page.line("")


def _tell_resumption(page: Page, event: Event, after_s: float) -> None:
    page.line("")
    page.told(f"{after_s:.1f} s later attempt {event.data['attempt']} goes on after the last word, on a new worker:")
    page.line("")


def _tell_end(page: Page, job: Job, read: Read) -> None:
    """What became of the attempts, and whether the reader missed anything."""
    attempts = ", ".join(f"attempt {attempt['number']} {attempt['how']}" for attempt in job["attempts"])
    if read.is_whole(job):
        page.told(f"{attempts}. Events 1 to {len(read.numbers)} came once each: no word was lost, none was said twice.")
    else:
        page.warn(f"{attempts}. What was read is not what was kept: this should not happen.")
