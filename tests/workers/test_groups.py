"""Lines that begin alike run one after another in one slot, while other slots run others."""

import threading
import uuid
from dataclasses import dataclass, field

import pytest

from db.session import Sessions
from tasks import ids
from tasks.keys import Caller
from tests.support.grouped import Grouped
from tests.support.post import Post
from tests.support.waiting import until
from tests.workers.conftest import MakeWorker
from tests.workers.runs import MODEL
from workers import run
from workers.engines import loading
from workers.engines.echo import Echo
from workers.engines.llamacpp import LlamaCpp
from workers.groups import Groups
from workers.worker import Worker

RULES = "You are the {} of a harbour. Say how deep it is, and when the tide turns. "
NAMES = {"A": "clerk", "B": "keeper", "C": "owner", "D": "enemy"}


class Keeping(Echo):
    """An engine whose slots keep what they are told to, those that are in `busy` while they run."""

    def __init__(self, slots: int = 2) -> None:
        super().__init__("alpha", slots=slots, context=64)
        self.free: list[uuid.UUID] = []  # the one freed first is the first
        self.busy: list[uuid.UUID] = []

    def kept(self) -> list[tuple[uuid.UUID, bool]]:
        return [(job_id, True) for job_id in reversed(self.free)] + [(job_id, False) for job_id in self.busy]


@dataclass
class Slots:
    """A worker's, without the worker: its lines are begun and ended here, by their names."""

    batch: Grouped
    engine: Keeping = field(default_factory=Keeping)

    def __post_init__(self) -> None:
        self.groups = Groups(self.batch.sessions, self.engine)

    def entered(self, name: str) -> str:
        """The name of the line that runs in the turn of this one, which is claimed then."""
        self.batch.dispatch(name)
        chosen = self.batch.name(self.groups.enter(self.batch.lines[name]))
        self.batch.run(chosen)
        return chosen

    def begun(self, name: str) -> str:
        """As `entered`; and it takes a slot as an engine gives it."""
        chosen = self.entered(name)
        line = self.batch.lines[chosen]
        alike = [each for each in self.engine.free if ids.group_of(each) == ids.group_of(line)]
        if len(self.engine.free) + len(self.engine.busy) == self.engine.slots:
            self.engine.free.remove((alike or self.engine.free)[0])
        self.engine.busy.append(line)
        return chosen

    def said(self, name: str) -> None:
        """The line's slot is free, though its end isn't written yet."""
        self.engine.busy.remove(self.batch.lines[name])
        self.engine.free.append(self.batch.lines[name])

    def ended(self, name: str) -> None:
        if self.batch.lines[name] in self.engine.busy:
            self.said(name)
        self.batch.end(name)
        self.groups.leave(self.batch.lines[name])


@pytest.fixture
def batch(sessions: Sessions, caller: Caller) -> Grouped:
    return Grouped(sessions, caller, "AAAABBBCC")


@pytest.fixture
def slots(batch: Grouped) -> Slots:
    return Slots(batch)


def test_each_slot_has_a_group_while_there_is_one(slots: Slots) -> None:
    """Whichever of them becomes free, and then another group; at the end it helps with what there is."""
    assert [slots.begun(name) for name in ("A0", "A1")] == ["A0", "B0"]
    slots.ended("B0")
    assert slots.begun("A1") == "B1"
    slots.ended("B1")
    assert slots.begun("A1") == "B2"
    slots.ended("A0")
    assert slots.begun("A1") == "A1"
    slots.ended("B2")
    assert slots.begun("A2") == "C0"
    slots.ended("C0")
    assert slots.begun("A2") == "C1"
    slots.ended("C1")
    assert slots.begun("A2") == "A2"


def test_slot_whose_line_is_being_ended_is_free_already(slots: Slots) -> None:
    """Else another's job would take it, for which the engine has two slots to choose from."""
    assert [slots.begun(name) for name in ("A0", "A1")] == ["A0", "B0"]
    slots.said("B0")
    slots.ended("A0")
    assert slots.entered("A1") == "A1"
    assert slots.entered("A2") == "B1"


def test_workers_begin_other_groups(batch: Grouped) -> None:
    """A worker whose first line is of a group that runs elsewhere doesn't know; from the second on it asks."""
    one, other = Slots(batch), Slots(batch)
    assert [one.entered(name) for name in ("A0", "A1")] == ["A0", "B0"]
    assert [other.entered(name) for name in ("A1", "A2")] == ["A1", "C0"]


def test_job_that_has_come_but_taken_no_slot_yet_is_counted(slots: Slots) -> None:
    """A plain job takes the slot that has been free for longest, a line that of its group."""
    assert [slots.begun(name) for name in ("A0", "A1")] == ["A0", "B0"]
    slots.ended("A0")
    slots.ended("B0")
    plain = uuid.uuid4()
    assert slots.groups.enter(plain) == plain
    assert slots.entered("A1") == "B1"
    assert slots.entered("A1") == "A1"


def test_line_that_was_let_ahead_of_interactive_work_runs_itself(batch: Grouped, slots: Slots) -> None:
    assert slots.begun("A0") == "A0"
    batch.dispatch("A1")
    assert slots.groups.enter(batch.lines["A1"], itself=True) == batch.lines["A1"]


def test_worker_whose_engine_keeps_prompts_runs_another_line_in_the_turn_of_the_one_that_is_named(
    batch: Grouped, make_worker: MakeWorker
) -> None:
    """And asks for a refill: the line that was named waits again. One that doesn't, or is going, leaves it at that."""
    worker = make_worker(engine=Keeping())
    assert worker.groups is not None
    worker.groups.enter(batch.lines["A0"])
    batch.dispatch("A1", "A2")
    ran, ended = run.run_in_turn(worker, batch.lines["A1"])
    assert ended is not None
    assert (batch.name(ran), ended.status) == ("B0", "succeeded")
    assert batch.are("dispatched") == ["A2"]
    worker.refiller._serve()
    assert {"A1", "A2"} <= set(batch.are("dispatched"))
    worker.draining.set()
    assert run.run_in_turn(worker, batch.lines["A1"]) == (batch.lines["A1"], None)
    other = make_worker()
    assert other.groups is None
    assert run.run_in_turn(other, batch.lines["A2"])[0] == batch.lines["A2"]


def test_worker_that_embeds_chooses_no_lines(make_worker: MakeWorker) -> None:
    """Its engine may keep prompts for those that write: embedding, it keeps none."""
    assert make_worker("alpha", Keeping()).groups is not None
    assert make_worker("embedder", Keeping()).groups is None


def asked(name: str) -> dict[str, object]:
    """Answers are of different lengths, so that slots become free in no order."""
    prompt = RULES.format(NAMES[name[0]]) * 4 + f"Say {name[1]}."
    params = {"temperature": 0, "max_tokens": 2 + 7 * int(name[1]) % 12}
    return {"input": {"prompt": prompt}, "params": params, "lane": "batch"}


@pytest.fixture
def writer(make_worker: MakeWorker) -> Worker:
    """A worker of the demo model with two slots."""
    engine = loading.load(MODEL, slots=2, threads=1)
    assert isinstance(engine, LlamaCpp)
    return make_worker("alpha", engine)


def serve(worker: Worker, over: threading.Event) -> None:
    """Runs in each slot what the window sends, as Celery hands it over, until it is over."""
    post = worker.dispatcher.sender
    assert isinstance(post, Post)
    lock = threading.Lock()

    def taken() -> uuid.UUID | None:
        with lock:
            return uuid.UUID(post.sent.pop(0)[0]) if post.sent else None

    def slot() -> None:
        while not over.is_set():
            if job_id := taken():
                run.run_in_turn(worker, job_id)
            over.wait(0.001)

    threads = [threading.Thread(target=slot) for _ in range(worker.slots)]
    threads.append(threading.Thread(target=worker.refiller.run, args=(over,)))
    for thread in threads:
        thread.start()
    worker.refiller.ask(worker.queue)
    over.wait()
    for thread in threads:
        thread.join()


def test_beginning_of_a_group_is_evaluated_in_one_slot(sessions: Sessions, caller: Caller, writer: Worker) -> None:
    """On the true engine: once for each group, and once or twice more where the slots help with the last ones."""
    batch, over = Grouped(sessions, caller, "ABCD" * 5, asked), threading.Event()
    thread = threading.Thread(target=serve, args=(writer, over))
    thread.start()
    try:
        until(lambda: len(batch.are("succeeded")) == len(batch.lines))
    finally:
        over.set()
        thread.join()
    evaluated = [name for name, cached in batch.column("cached_tokens").items() if cached < 32]
    assert sorted({name[0] for name in evaluated}) == ["A", "B", "C", "D"]
    assert len(evaluated) <= 6  # in the order of their ids it is twice each: 8
