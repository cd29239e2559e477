"""Lines that begin alike run one after another in one slot, while other slots run others."""

import threading
import uuid

import pytest

from db.session import Sessions
from tasks.keys import Caller
from tests.support.grouped import Grouped
from tests.support.post import Post
from tests.support.waiting import until
from tests.workers.conftest import MakeWorker
from tests.workers.runs import MODEL
from workers import run
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp
from workers.groups import Groups
from workers.worker import Worker

RULES = "You are the {} of a harbour. Say how deep it is, and when the tide turns. "
NAMES = {"A": "clerk", "B": "keeper", "C": "owner", "D": "enemy"}


@pytest.fixture
def batch(sessions: Sessions, caller: Caller) -> Grouped:
    return Grouped(sessions, caller, "AAAABBBCC")


def entered(groups: Groups, batch: Grouped, name: str) -> str:
    """The name of the line that runs in the turn of this one, which is claimed then."""
    batch.dispatch(name)
    chosen = batch.name(groups.enter(batch.lines[name]))
    batch.run(chosen)
    return chosen


def left(groups: Groups, batch: Grouped, name: str) -> None:
    groups.leave(batch.lines[name])


def test_each_slot_has_a_group_while_there_is_one(sessions: Sessions, batch: Grouped) -> None:
    """Whichever of them becomes free, and then another group; at the end it helps with what there is."""
    groups = Groups(sessions, slots=2)
    assert [entered(groups, batch, name) for name in ("A0", "A1")] == ["A0", "B0"]
    left(groups, batch, "B0")
    assert entered(groups, batch, "A1") == "B1"
    left(groups, batch, "B1")
    assert entered(groups, batch, "A1") == "B2"
    left(groups, batch, "A0")
    assert entered(groups, batch, "A1") == "A1"
    left(groups, batch, "B2")
    assert entered(groups, batch, "A2") == "C0"
    left(groups, batch, "C0")
    assert entered(groups, batch, "A2") == "C1"
    left(groups, batch, "C1")
    assert entered(groups, batch, "A2") == "A2"


def test_workers_begin_other_groups(sessions: Sessions, batch: Grouped) -> None:
    """A worker whose first line is of a group that runs elsewhere doesn't know; from the second on it asks."""
    one, other = Groups(sessions, slots=2), Groups(sessions, slots=2)
    assert [entered(one, batch, name) for name in ("A0", "A1")] == ["A0", "B0"]
    assert [entered(other, batch, name) for name in ("A1", "A2")] == ["A1", "C0"]


def test_what_a_slot_had_is_forgotten_when_another_job_took_it(sessions: Sessions, batch: Grouped) -> None:
    """The slot that has been free for longest: as the engine takes them."""
    groups, plain = Groups(sessions, slots=2), uuid.uuid4()
    assert [entered(groups, batch, name) for name in ("A0", "A1")] == ["A0", "B0"]
    left(groups, batch, "A0")
    left(groups, batch, "B0")
    assert groups.enter(plain) == plain
    assert entered(groups, batch, "A1") == "B1"


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
    """On the true engine: once for each group, and once more where a slot helps with the last one."""
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
    assert len(evaluated) <= 5
