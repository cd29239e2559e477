"""Transcripts: what can be known from a stream's entries alone."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tasks.limits.spent import Spent
from tasks.streams import transcript
from tasks.streams.events import Delta, Event, Passages, Progress, Restarted, Resumed, Started, ToolCall, ToolResult
from tasks.streams.transcript import Entry, Transcript
from tests.support.entries import said, started


def spoken(*parts: tuple[str, int, tuple[int, ...]]) -> Transcript:
    whole = Transcript()
    whole.add(started(prompt_tokens=7))
    for text, tokens, token_ids in parts:
        whole.add(said(text, tokens), token_ids)
    return whole


def test_text_and_tokens_are_summed() -> None:
    """The prompt's tokens stand with the start, the answer's with the deltas."""
    whole = spoken(("a", 2, (1, 2)), ("b", 1, (3,)))
    assert (whole.text, whole.spent) == ("ab", Spent(prompt=7, completion=3))
    assert whole.exact() == ((1, 2, 3), "ab")


def test_prompt_counts_as_far_as_it_was_evaluated_until_an_answer_begins() -> None:
    """Whoever cancels in a long prompt pays for what progress had told by then."""
    whole = spoken()
    assert whole.spent.prompt == 0
    whole.add(Progress(4, 7, Spent(prompt=4)))
    assert whole.spent.prompt == 4
    whole.add(said("a"))
    assert whole.spent.prompt == 7


def test_exact_beginning_ends_where_an_id_is_unknown() -> None:
    """What follows a piece with an unknown id can't be continued by ids."""
    whole = spoken(("a", 1, (1,)), ("語", 3, ()), ("b", 1, (3,)))
    assert whole.exact() == ((1,), "a")


def test_restart_takes_back_what_was_said() -> None:
    """After `restarted` only the deltas since then count."""
    whole = spoken(("wrong", 1, (1,)))
    whole.add(Restarted(2))
    whole.add(said("right", 2), (4, 5))
    assert (whole.text, whole.spent.completion, whole.exact()) == ("right", 2, ((4, 5), "right"))
    assert transcript.from_stored(*whole.stored()).exact() == whole.exact()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.builds(said, st.text(min_size=1), st.integers(1, 9)), st.booleans()),
            st.tuples(st.sampled_from([Progress(1, 2), Resumed(2), Restarted(2)]), st.just(False)),
        )
    )
)
def test_stored_transcript_comes_back_the_same(parts: list[tuple[Event, bool]]) -> None:
    """Events survive whole; ids survive as far as they can be used."""
    whole = spoken()
    for event, known in parts:
        whole.add(event, tuple(range(event.spent.completion)) if known and isinstance(event, Delta) else ())
    back = transcript.from_stored(*whole.stored())
    assert [(entry.seq, entry.event) for entry in back.entries] == [(entry.seq, entry.event) for entry in whole.entries]
    assert (back.exact(), back.text, back.spent) == (whole.exact(), whole.text, whole.spent)


def test_transcript_stored_by_the_version_before_is_read_for_ever() -> None:
    """`job_outputs.entries` as it was written before events had types: type, data, tokens."""
    stored = [
        ["started", {"attempt": 1, "worker": "alpha@host:12.a1b2c3"}, 7],
        ["passages", {"passages": [{"text": "a lamp", "score": 0.5}]}, 0],
        ["progress", {"done": 4, "total": 7}, 4],
        ["delta", {"text": "wrong"}, 1],
        ["resumed", {"attempt": 2}, 0],
        ["restarted", {"attempt": 2}, 0],
        ["delta", {"text": "one "}, 2],
        ["delta", {"text": "two"}, 1],
    ]
    back = transcript.from_stored(stored, [5, 6])
    assert [entry.event for entry in back.entries] == [
        Started(1, "alpha@host:12.a1b2c3", prompt_tokens=7),
        Passages([{"text": "a lamp", "score": 0.5}]),
        Progress(4, 7),
        said("wrong"),
        Resumed(2),
        Restarted(2),
        said("one ", 2),
        said("two"),
    ]
    assert (back.text, back.spent, back.exact()) == ("one two", Spent(prompt=7, completion=3), ((5, 6), "one "))
    assert back.passages == [{"text": "a lamp", "score": 0.5}]


def test_fold_takes_each_number_once() -> None:
    """Streams republished by a later attempt hold numbers twice; a reader counts each once."""
    whole = [Entry(seq, said(str(seq))) for seq in (1, 2, 3)]
    assert transcript.fold([*whole[:2], *whole]).entries == whole


def call(id: str, tokens: int = 1) -> ToolCall:
    return ToolCall(0, id, "weather", "{}", Spent(completion=tokens))


def test_rounds_are_what_was_said_until_every_call_had_its_result() -> None:
    """The last is under way: its calls may lack results, and after a whole one nothing has been said yet."""
    whole = spoken(("Wait. ", 1, (1,)))
    whole.add(call("a", 2), (2, 3))
    whole.add(call("b"), (4,))
    whole.add(ToolResult("a", "weather", "rain"))
    [under_way] = whole.rounds
    assert (under_way.text, [each.id for each in under_way.calls], under_way.tokens) == ("Wait. ", ["a", "b"], 4)
    assert not under_way.answered
    whole.add(ToolResult("b", "weather", "sun"))
    assert [(each.text, len(each.results)) for each in whole.rounds] == [("Wait. ", 2), ("", 0)]
    whole.add(said("Rain."), (5,))
    assert [each.text for each in whole.rounds] == ["Wait. ", "Rain."]
    assert (whole.text, whole.exact()) == ("Wait. Rain.", ((1, 2, 3, 4, 5), "Wait. Rain."))


def test_restart_takes_back_the_rounds_before_it() -> None:
    whole = spoken(("wrong", 1, (1,)))
    whole.add(call("a"), (2,))
    whole.add(ToolResult("a", "weather", "rain"))
    whole.add(Restarted(2))
    assert [(each.said, each.results) for each in whole.rounds] == [([], [])]


known = st.booleans()
rounds = st.lists(
    st.one_of(
        st.tuples(st.builds(said, st.text(min_size=1), st.integers(0, 9)), known),
        st.tuples(st.builds(call, st.sampled_from("abc"), st.integers(0, 9)), known),
        st.tuples(st.builds(ToolResult, st.sampled_from("abc"), st.just("weather"), st.text(), st.booleans()), known),
        st.tuples(st.sampled_from([Resumed(2), Restarted(2)]), st.just(False)),
    )
)


@given(rounds)
def test_rounds_survive_the_ways_in_which_they_are_kept(parts: list[tuple[Event, bool]]) -> None:
    """A checkpoint keeps everything, what is stored the events and the ids that can be used."""
    whole = spoken()
    for event, known in parts:
        spends = isinstance(event, Delta | ToolCall)
        whole.add(event, tuple(range(event.spent.completion)) if known and spends else ())
    plain = json.loads(json.dumps([entry.plain() for entry in whole.entries]))
    assert transcript.from_plain(plain).entries == whole.entries
    back = transcript.from_stored(*whole.stored())
    assert [entry.event for entry in back.entries] == [entry.event for entry in whole.entries]
    assert (back.exact(), back.text, back.spent) == (whole.exact(), whole.text, whole.spent)
    assert [(each.calls, each.text, each.results) for each in back.rounds] == [
        (each.calls, each.text, each.results) for each in whole.rounds
    ]
