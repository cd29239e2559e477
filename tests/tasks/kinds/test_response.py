"""A response: what is put to the model, and what can't be."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest

from db.session import Sessions
from tasks import errors, ids
from tasks.jobs import responses
from tasks.jobs.requests import Plan, Submission
from tasks.keys import Caller
from tasks.kinds.generation import Answer, Generation, ToolCall
from tasks.kinds.response import MAX_ITEMS, Asked, ResponseKind
from tests import tables

JOB = ids.new()


def message(text: str, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def plan(sessions: Sessions, caller: Caller, asked: Asked) -> Plan:
    with sessions.begin() as session:
        return tables.plan(session, caller, Submission("response", None, asked))


@dataclass(frozen=True, slots=True)
class Words:
    """`Measure` of a model that reads a word as a token."""

    instructed: bool = True

    def __call__(self, asked: Generation) -> int:
        return sum(len(turn.text.split()) for turn in asked.turns or ())


def composed(asked: Asked, context: int) -> list[str]:
    turns = ResponseKind().compose(asked, {}, context, Words()).generation.turns
    return [turn.text for turn in turns or ()]


SAID = tuple(itertools.chain.from_iterable((message(f"{n} " * 10), message("yes", "assistant")) for n in range(8)))


def test_old_turns_are_dropped_where_that_is_asked() -> None:
    """From a user's turn on, as many as there is room for; the instructions stay."""
    asked = Asked((message("last"),), instructions="Be short.", before=SAID, truncates=True)
    assert composed(asked, 1000)[1].startswith("0 ")
    some = composed(asked, 60)
    assert some[0] == "Be short."
    assert some[1].startswith("5 ")
    assert some[-1] == "last"
    assert composed(asked, 4) == ["Be short.", "last"]


def test_text_before_a_call_cites_nothing() -> None:
    """An answer does; of that text readers have been told without, before the call came."""
    passages = [{"text": "It was Anna.", "external_id": "file-1", "filename": "a.txt"}]
    answer = Answer("It was Anna.", "stop", passages, question="Who?")
    calls = replace(answer, finish_reason="tool_calls", tool_calls=(ToolCall("call_1", "look", "{}"),))
    alone, called = (ResponseKind().result([each])["annotations"] for each in (answer, calls))
    assert [each["file_id"] for each in alone] == ["file-1"]
    assert called == []


def test_nothing_is_dropped_unasked() -> None:
    asked = Asked((message("last"),), before=SAID)
    assert len(composed(asked, 4)) == len(SAID) + 1


def test_what_fits_nowhere_is_dropped_or_refused(sessions: Sessions, caller: Caller) -> None:
    """By its bytes, before anything is queued; what is new must fit."""
    large = message("x" * (tables.MODELS["alpha"].context * 64))
    with pytest.raises(errors.PromptTooLong):
        plan(sessions, caller, Asked((message("last"),), before=(large,)))
    kept = plan(sessions, caller, Asked((message("last"),), before=(large,), truncates=True)).asked.request
    assert isinstance(kept, Asked)
    assert kept.before == ()
    with pytest.raises(errors.PromptTooLong):
        plan(sessions, caller, Asked((large, message("last")), truncates=True))


def test_a_chain_has_its_most_items(sessions: Sessions, caller: Caller) -> None:
    """More are refused, or the oldest dropped."""
    many = tuple(message(str(n)) for n in range(MAX_ITEMS))
    with pytest.raises(errors.InvalidField):
        plan(sessions, caller, Asked((message("last"),), before=many))
    kept = plan(
        sessions, caller, Asked((message("last"),), before=(*many, message("new")), truncates=True)
    ).asked.request
    assert isinstance(kept, Asked)
    assert len(kept.before) <= MAX_ITEMS


def test_items_have_ids_of_their_job() -> None:
    """By which it is found again, with the place; those that clients gave stay as they are."""
    first, second = responses.inputs(JOB, [message("one"), message("two") | {"id": "msg_x"}])
    [said] = responses.outputs(JOB, {"message": {"content": "Hi"}, "finish_reason": "stop"})
    assert responses.place_of(first["id"]) == (JOB, 0, False)
    assert second["id"] == "msg_x"
    assert responses.place_of(said["id"]) == (JOB, 0, True)
    assert [responses.place_of(id) for id in ("msg_x", "msg_123", f"msg_{JOB.hex}zzzzz", f"msg_{JOB.hex}")] == [
        None
    ] * 4
