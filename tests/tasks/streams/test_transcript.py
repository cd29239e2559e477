"""Transcripts: what can be known from a stream's entries alone."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.streams import transcript
from tasks.streams.transcript import DELTA, PROGRESS, RESTARTED, RESUMED, STARTED, Entry, Transcript


def spoken(*parts: tuple[str, int, tuple[int, ...]]) -> Transcript:
    whole = Transcript()
    whole.add(STARTED, {"attempt": 1, "worker": "w"}, tokens=7)
    for text, tokens, token_ids in parts:
        whole.add(DELTA, {"text": text}, tokens=tokens, token_ids=token_ids)
    return whole


def test_text_and_tokens_are_summed() -> None:
    """The prompt's tokens stand with the start, the answer's with the deltas."""
    whole = spoken(("a", 2, (1, 2)), ("b", 1, (3,)))
    assert (whole.text, whole.spent.prompt, whole.spent.completion) == ("ab", 7, 3)
    assert whole.exact() == ((1, 2, 3), "ab")


def test_prompt_counts_as_far_as_it_was_evaluated_until_an_answer_begins() -> None:
    """Whoever cancels in a long prompt pays for what progress had told by then."""
    whole = spoken()
    assert whole.spent.prompt == 0
    whole.add(PROGRESS, {"done": 4, "total": 7}, tokens=4)
    assert whole.spent.prompt == 4
    whole.add(DELTA, {"text": "a"}, tokens=1)
    assert whole.spent.prompt == 7


def test_exact_beginning_ends_where_an_id_is_unknown() -> None:
    """What follows a piece with an unknown id can't be continued by ids."""
    whole = spoken(("a", 1, (1,)), ("語", 3, ()), ("b", 1, (3,)))
    assert whole.exact() == ((1,), "a")


def test_restart_takes_back_what_was_said() -> None:
    """After `restarted` only the deltas since then count."""
    whole = spoken(("wrong", 1, (1,)))
    whole.add(RESTARTED, {"attempt": 2})
    whole.add(DELTA, {"text": "right"}, tokens=2, token_ids=(4, 5))
    assert (whole.text, whole.spent.completion, whole.exact()) == ("right", 2, ((4, 5), "right"))
    assert transcript.from_stored(*whole.stored()).exact() == whole.exact()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(DELTA), st.text(min_size=1), st.integers(1, 9), st.booleans()),
            st.tuples(st.sampled_from([PROGRESS, RESUMED, RESTARTED]), st.just(""), st.just(0), st.just(True)),
        )
    )
)
def test_stored_transcript_comes_back_the_same(parts: list[tuple[str, str, int, bool]]) -> None:
    """Entries survive whole; ids survive as far as they can be used."""
    whole = spoken()
    for type, text, tokens, known in parts:
        ids = tuple(range(tokens)) if known and type == DELTA else ()
        whole.add(type, {"text": text}, tokens=tokens, token_ids=ids)
    back = transcript.from_stored(*whole.stored())
    assert [(e.seq, e.type, e.data, e.tokens) for e in back.entries] == [
        (e.seq, e.type, e.data, e.tokens) for e in whole.entries
    ]
    assert (back.exact(), back.text, back.spent.completion) == (whole.exact(), whole.text, whole.spent.completion)


def test_fold_takes_each_number_once() -> None:
    """Streams republished by a later attempt hold numbers twice; a reader counts each once."""
    said = [Entry(seq, DELTA, {"text": str(seq)}, 1) for seq in (1, 2, 3)]
    assert transcript.fold([*said[:2], *said]).entries == said
