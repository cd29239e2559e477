"""Submitting, claiming, finishing: each rule on the real tables."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from db import workers
from db.session import Sessions
from tasks import errors, ids
from tasks.jobs import attempts, fence, jobs
from tasks.jobs.attempts import Claim
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Stored
from tasks.keys import Caller
from tasks.limits.spent import Spent
from tasks.queues import places
from tasks.queues.places import Wait
from tasks.streams.transcript import Entry, Transcript
from tests import tables
from tests.support import entries


def said(*texts: str) -> Transcript:
    transcript = Transcript()
    transcript.add(entries.started())
    for number, word in enumerate(texts):
        transcript.add(entries.said(word), (number,))
    return transcript


def keep(sessions: Sessions, claim: Claim, news: Sequence[Entry]) -> None:
    with sessions.begin() as session:
        attempts.checkpoint(session, claim.job_id, claim.attempt, news, (4, 4))


def pieces(sessions: Sessions, claim: Claim) -> list[tuple[int, int]]:
    """The job's checkpoint as it lies in its table: of each piece, its first number and how many entries it has."""
    query = "SELECT first, json_array_length(entries) FROM job_checkpoints WHERE job_id = :id ORDER BY first"
    with sessions() as session:
        return [(first, number) for first, number in session.execute(text(query), {"id": claim.job_id})]


def test_submitted_job_waits_with_what_was_asked(sessions: Sessions, caller: Caller) -> None:
    """The record of a new job says what the client said, and that nothing has happened yet."""
    record = tables.submit(sessions, caller, metadata={"order": "7"}, lane="batch", priority=2)
    with sessions() as session:
        assert jobs.get(session, caller, record.id) == record
    assert (record.status, record.attempt, record.lane, record.priority) == ("queued", 0, "batch", 2)
    assert record.metadata == {"order": "7"}
    assert record.usage is record.result is record.error is None


def test_job_without_a_model_gets_the_default_of_its_type(sessions: Sessions, caller: Caller) -> None:
    """The model marked default serves its types; for others the first that can."""
    assert tables.submit(sessions, caller, model=None).model == "beta"
    chat = {"messages": [{"role": "user", "content": "hi"}]}
    assert tables.submit(sessions, caller, model=None, type="chat", input=chat).model == "alpha"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"model": "gamma"}, "model"),
        ({"model": "beta", "type": "chat"}, "model"),
    ],
)
def test_unknown_model_is_refused_by_name(
    sessions: Sessions, caller: Caller, changes: dict[str, object], field: str
) -> None:
    """No other model answers for one that isn't there."""
    with pytest.raises(errors.ModelUnknown) as refused:
        tables.submit(sessions, caller, **changes)
    assert refused.value.field == field


def test_prompt_too_big_by_its_bytes_is_refused_before_anything_is_written(sessions: Sessions, caller: Caller) -> None:
    """64 tokens of context can't hold 64 times 64 bytes and one."""
    with pytest.raises(errors.PromptTooLong) as refused:
        tables.submit(sessions, caller, input={"prompt": "x" * (64 * 64 + 1)})
    assert refused.value.field == "input.prompt"
    messages = [{"role": "user", "content": "é" * 1024}] * 3
    with pytest.raises(errors.PromptTooLong) as refused:
        tables.submit(sessions, caller, type="chat", input={"messages": messages})
    assert refused.value.field == "input.messages"
    tables.submit(sessions, caller, input={"prompt": "x" * (64 * 64)})


def test_claim_happens_once_however_many_ask(sessions: Sessions, caller: Caller) -> None:
    """A message delivered eight times at once gives one attempt."""
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    claims: list[attempts.Claim | None] = []
    threads = [threading.Thread(target=lambda: claims.append(tables.claim(sessions, job_id))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [claim.attempt for claim in claims if claim] == [1]
    assert tables.column(sessions, job_id, "worker_id") == "w1"


def test_claim_gives_what_a_run_needs(sessions: Sessions, caller: Caller) -> None:
    """Input, parameters, a seed that stays, and an empty checkpoint."""
    claim = tables.running(sessions, caller)
    assert claim.asked == Stored({"prompt": "one two three four"}, {"temperature": 0})
    assert claim.checkpoint.entries == []
    with sessions.begin() as session:
        assert attempts.release(session, claim.job_id, 1, said("one "))
    tables.dispatch(sessions, claim.job_id)
    again = tables.claim(sessions, claim.job_id, worker_id="w2")
    assert again is not None
    assert (again.attempt, again.seed) == (2, claim.seed)
    assert again.checkpoint.text == "one "
    assert again.checkpoint.exact() == ((0,), "one ")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.DISPATCHED])
def test_claim_takes_nothing_but_dispatched_jobs(sessions: Sessions, caller: Caller, status: Status) -> None:
    """A message that comes late, twice, or after the end does nothing."""
    job_id = tables.submit(sessions, caller).id
    with sessions.begin() as session:
        tables.put(session, job_id, status)
    assert tables.claim(sessions, job_id) is None
    assert tables.column(sessions, job_id, "attempt") == 0


def test_claim_for_another_model_is_refused(sessions: Sessions, caller: Caller) -> None:
    """A worker takes jobs of its own model only."""
    job_id = tables.submit(sessions, caller).id
    tables.dispatch(sessions, job_id)
    assert tables.claim(sessions, job_id, queue="beta") is None


def test_given_seed_is_kept(sessions: Sessions, caller: Caller) -> None:
    """The client's seed is the job's."""
    job_id = tables.submit(sessions, caller, params={"seed": 11}).id
    tables.dispatch(sessions, job_id)
    claim = tables.claim(sessions, job_id)
    assert claim is not None
    assert claim.seed == 11


def test_finish_writes_end_result_and_usage_once(sessions: Sessions, caller: Caller) -> None:
    """The end is one transaction, and a second end of the same attempt is refused."""
    claim = tables.running(sessions, caller)
    outcome = Outcome(Status.SUCCEEDED, Spent(4, 2), {"text": "one two ", "finish_reason": "stop"})
    with sessions.begin() as session:
        record = tables.finish(session, claim.job_id, 1, said("one ", "two "), outcome).view
    assert (record.status, record.result, record.usage) == (
        "succeeded",
        outcome.result,
        {"prompt_tokens": 4, "completion_tokens": 2},
    )
    with pytest.raises(errors.Fenced), sessions.begin() as session:
        tables.finish(session, claim.job_id, 1, said(), outcome)
    assert tables.usage_rows(sessions, claim.job_id) == [(4, 2)]
    with sessions() as session:
        assert jobs.get(session, caller, claim.job_id) == record


def test_older_attempt_can_neither_finish_nor_checkpoint_nor_hand_back(sessions: Sessions, caller: Caller) -> None:
    """The fence: once a newer attempt exists, the older one writes nothing."""
    claim = tables.running(sessions, caller)
    with sessions.begin() as session:
        tables.put(session, claim.job_id, Status.RUNNING, attempt=2)
    with pytest.raises(errors.Fenced), sessions.begin() as session:
        tables.finish(session, claim.job_id, 1, said("x"), Outcome(Status.SUCCEEDED, Spent(1, 1)))
    with sessions.begin() as session:
        attempts.checkpoint(session, claim.job_id, 1, said("x").entries, (1, 1))
        assert not attempts.release(session, claim.job_id, 1, said("x"))
        assert jobs.so_far(session, claim.job_id).entries == []
    assert tables.usage_rows(sessions, claim.job_id) == []


def test_checkpoint_is_what_the_next_attempt_starts_from(sessions: Sessions, caller: Caller) -> None:
    """Each writes only what came since the one before; one that is repeated, since its answer was lost, replaces it."""
    claim, whole = tables.running(sessions, caller), said("one ", "two ", "three ", "four ")
    for first, last in ((0, 2), (2, 3), (2, 4), (4, 5)):
        keep(sessions, claim, whole.entries[first:last])
    assert pieces(sessions, claim) == [(1, 2), (3, 2), (5, 1)]
    with sessions() as session:
        job, _ = jobs.find(session, caller, claim.job_id)
        assert (job.progress_done, job.progress_total) == (4, 4)
        assert jobs.so_far(session, claim.job_id) == whole
    tables.dispatch(sessions, claim.job_id)
    again = tables.claim(sessions, claim.job_id, worker_id="w2")
    assert again is not None
    assert again.checkpoint == whole


def test_next_attempts_checkpoint_takes_the_place_of_the_last_ones(sessions: Sessions, caller: Caller) -> None:
    """It begins with all that it goes on from, which may be less, or something else, than what was kept before."""
    claim = tables.running(sessions, caller)
    for last in (2, 3, 4, 5):
        keep(sessions, claim, said("one ", "two ", "three ", "four ").entries[last - 1 : last])
    tables.dispatch(sessions, claim.job_id)
    again = tables.claim(sessions, claim.job_id, worker_id="w2")
    assert again is not None
    other = said("one ", "zwei ")
    keep(sessions, again, other.entries)
    with sessions() as session:
        assert jobs.so_far(session, claim.job_id) == other
    assert pieces(sessions, claim) == [(1, 3)]


@pytest.mark.parametrize("how", ["finish", "release", "retry_later", "advance"])
def test_what_an_attempt_leaves_takes_the_checkpoints_place(sessions: Sessions, caller: Caller, how: str) -> None:
    """However it ends, it writes the whole once, and the pieces are gone with that."""
    claim, whole = tables.running(sessions, caller), said("one ", "two ")
    keep(sessions, claim, whole.entries[:1])
    keep(sessions, claim, whole.entries[1:2])
    given: dict[str, tuple[Any, ...]] = {
        "finish": (Outcome(Status.SUCCEEDED, Spent(4, 2)),),
        "retry_later": (errors.EngineError.code,),
        "advance": (Onward("generate", "alpha"),),
    }
    with sessions.begin() as session:
        end = tables.finish if how == "finish" else getattr(attempts, how)
        assert end(session, claim.job_id, 1, whole, *given.get(how, ()))
    assert pieces(sessions, claim) == []
    with sessions() as session:
        assert jobs.so_far(session, claim.job_id) == whole
        assert jobs.stored_transcript(jobs.find(session, caller, claim.job_id)[1]) == whole


def test_lost_attempts_are_those_taken_over_or_ended(sessions: Sessions, caller: Caller) -> None:
    """A worker learns with its heartbeat which of its attempts are over."""
    kept, orphan, taken, ended = (tables.running(sessions, caller).job_id for _ in range(4))
    with sessions.begin() as session:
        tables.put(session, orphan, Status.DISPATCHED)
        tables.put(session, taken, Status.RUNNING, attempt=2)
        tables.put(session, ended, Status.CANCELLED)
    with sessions() as session:
        lost = fence.lost_attempts(session, dict.fromkeys((kept, orphan, taken, ended), 1))
    assert lost == {taken, ended}


def test_another_tenants_job_is_as_unknown_as_none(sessions: Sessions, caller: Caller) -> None:
    """One error with one text for both, but for the id."""
    job_id = tables.submit(sessions, caller).id
    stranger = tables.tenant(sessions, "theirs")
    unknown = ids.new()
    with sessions() as session:
        with pytest.raises(errors.NotFound) as foreign:
            jobs.get(session, stranger, job_id)
        with pytest.raises(errors.NotFound) as missing:
            jobs.get(session, stranger, unknown)
    assert str(foreign.value).replace(ids.show(job_id), "") == str(missing.value).replace(ids.show(unknown), "")


def test_wait_counts_who_goes_before(sessions: Sessions, caller: Caller) -> None:
    """Interactive jobs go before batch jobs, those in the window before all; an ended job doesn't wait."""
    batch = tables.submit(sessions, caller, lane="batch").id
    first = tables.submit(sessions, caller).id
    second = tables.submit(sessions, caller).id
    urgent = tables.submit(sessions, caller, priority=8).id
    tables.dispatch(sessions, first)
    with sessions() as session:
        found = {job_id: places.wait(session, job_id, tables.LEASE_S) for job_id in (first, urgent, second, batch)}
        assert [place and place.position for place in found.values()] == [0, 1, 2, 3]
        assert found[batch] == Wait(3, None)


def test_wait_counts_turns_between_tenants(sessions: Sessions, caller: Caller) -> None:
    """Behind another tenant's many jobs the first of one's own goes next, the third after two of theirs and two own."""
    other, third = tables.tenant(sessions, "theirs"), tables.tenant(sessions, "others")
    for _ in range(20):
        tables.submit(sessions, other)
    tables.submit(sessions, third)
    own = [tables.submit(sessions, caller).id for _ in range(3)]
    with sessions() as session:
        found = [places.wait(session, job_id, tables.LEASE_S) for job_id in own]
    assert [place and place.position for place in found] == [0, 1 + 2, 2 + 2 + 1]


def test_estimated_start_follows_from_slots_and_speed(sessions: Sessions, caller: Caller) -> None:
    """With two free slots and two seconds a job, the fourth in the queue starts after one round."""
    tables.worker(sessions, slots=2)
    with sessions.begin() as session:
        workers.beat(session, worker_id="w1", slots=2, free=2, job_s=2.0)
    waiting = [tables.submit(sessions, caller).id for _ in range(4)]
    with sessions() as session:
        estimates = [places.wait(session, job_id, tables.LEASE_S) for job_id in waiting]
    assert [estimate and estimate.estimated_start_s for estimate in estimates] == [0.0, 0.0, 1.0, 2.0]
