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
from tasks.kinds import preceding
from tasks.kinds.generation import Answer, Generation, ToolCall
from tasks.kinds.response import Asked, ResponseKind
from tests import tables

JOB = ids.new()


def message(text: str, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def plan(sessions: Sessions, caller: Caller, asked: Asked) -> Plan:
    with sessions.begin() as session:
        return tables.plan(session, caller, Submission("response", None, asked))


def kept(sessions: Sessions, caller: Caller, asked: Asked) -> Asked:
    request = plan(sessions, caller, asked).asked.request
    assert isinstance(request, Asked)
    return request


def called(id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A function's call, and its output."""
    return (
        {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": id, "output": "2"},
    )


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
    assert kept(sessions, caller, Asked((message("last"),), before=(large,), truncates=True)).before == ()
    with pytest.raises(errors.PromptTooLong):
        plan(sessions, caller, Asked((large, message("last")), truncates=True))


@pytest.mark.parametrize(("bound", "most"), [("MAX_ITEMS", 7), ("MAX_BYTES", 500)])
def test_what_was_said_before_is_bounded(
    sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    """More is refused, or the oldest dropped, from a user's turn on."""
    asked = Asked((message("last"),), before=SAID)
    assert kept(sessions, caller, asked).before == SAID
    monkeypatch.setattr(preceding, bound, most)
    with pytest.raises(errors.InvalidField) as refused:
        plan(sessions, caller, asked)
    assert str(most) in str(refused.value)
    some = kept(sessions, caller, replace(asked, truncates=True)).before
    assert 0 < len(some) < 7
    assert some == SAID[-len(some) :]
    assert some[0]["role"] == "user"


def test_a_call_is_kept_with_its_output(sessions: Sessions, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether what is before is dropped for its number, for its bytes, or for what a model has room for."""
    before = (message("a"), *called("c"), message("b", "assistant"), message("c"), *called("d")[:1])
    asked = Asked((*called("d")[1:], message("e")), before=before, truncates=True)
    monkeypatch.setattr(preceding, "MAX_ITEMS", 4)
    assert kept(sessions, caller, asked).before == before[4:]
    monkeypatch.setattr(preceding, "MAX_ITEMS", 1)
    with pytest.raises(errors.InvalidField):
        plan(sessions, caller, asked)  # the output that is given now would lose its call
    assert composed(asked, 2) == ["e"]
    assert composed(asked, 3) == ["c", "", "2", "e"]


def test_a_model_isnt_given_again_what_it_doesnt_read(sessions: Sessions, caller: Caller) -> None:
    """Nor is it copied from response to response."""
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "x" * 1000}]}
    searched = {"type": "file_search_call", "id": "fs_1", "queries": ["x"], "results": [{"text": "x" * 1000}]}
    part = {"type": "output_text", "text": "yes", "annotations": [{"type": "file_citation"}], "logprobs": []}
    said = {"type": "message", "role": "assistant", "content": [part]}
    asked = Asked((message("last"),), before=(message("one"), thought, searched, said))
    assert kept(sessions, caller, asked).before == (message("one"), said | {"content": [part | {"annotations": []}]})


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


def test_items_of_which_no_model_reads_any_are_refused(sessions: Sessions, caller: Caller) -> None:
    """Where nothing was given, a user said nothing: that is answered."""
    thought = {"type": "reasoning", "summary": []}
    with pytest.raises(errors.InvalidField, match="no item that a model reads"):
        plan(sessions, caller, Asked((thought,)))
    assert plan(sessions, caller, Asked(()))
    assert plan(sessions, caller, Asked((thought, message("one"))))
