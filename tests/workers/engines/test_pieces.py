"""Tokens as deltas."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.models.engine import Delta
from tasks.models.logprobs import Logprob
from workers.engines.pieces import Pieces


def told(pieces: Pieces, tokens: list[bytes]) -> list[Delta]:
    found = []
    for number, piece in enumerate(tokens):
        delta = pieces.feed(number, piece)
        found += [delta] if delta else []
        if pieces.stopped:
            break
    last = pieces.finish()
    return [*found, *([last] if last else [])]


def test_character_is_told_when_it_is_whole() -> None:
    """With the ids of all its tokens."""
    parts = [bytes([byte]) for byte in "日".encode()]
    assert told(Pieces(()), [b"a", *parts, b"b"]) == [
        Delta("a", 1, (0,)),
        Delta("日", 3, (1, 2, 3)),
        Delta("b", 1, (4,)),
    ]


def test_stop_string_across_tokens_is_held_back_whole() -> None:
    """What could begin it waits; what turns out not to is told, exactly."""
    pieces = Pieces(("END",))
    assert told(pieces, [b"a", b" E", b"N", b"x", b" E", b"ND."]) == [
        Delta("a", 1, (0,)),
        Delta(" ENx", 3, (1, 2, 3)),
        Delta(" ", 1, (4,)),  # the beginning of its token's text, " E"
    ]
    assert pieces.stopped
    assert pieces.untold == 1


def test_character_that_never_becomes_whole_is_counted_only() -> None:
    """Its tokens were spent."""
    pieces = Pieces(())
    assert told(pieces, [b"a", "日".encode()[:2]]) == [Delta("a", 1, (0,))]
    assert pieces.untold == 1


def test_probabilities_go_with_their_tokens() -> None:
    """However they are held back, and with the token that a stop string cut."""
    pieces, tokens = Pieces(("END",)), [b"a", b" E", b"N", b"x", b" E", b"ND."]
    likely = [Logprob.of(piece, -1.0) for piece in tokens]
    fed = [pieces.feed(number, piece, one) for number, (piece, one) in enumerate(zip(tokens, likely, strict=True))]
    deltas = [delta for delta in fed if delta]
    assert [delta.logprobs for delta in deltas] == [tuple(likely[:1]), tuple(likely[1:4]), tuple(likely[4:5])]


def test_tokens_without_text_go_with_the_next() -> None:
    """No delta is empty."""
    assert told(Pieces(()), [b"", b"", b"a"]) == [Delta("a", 3, (0, 1, 2))]


@given(st.lists(st.binary(max_size=4), max_size=40), st.lists(st.text("abé", min_size=1, max_size=3), max_size=3))
def test_deltas_add_up(tokens: list[bytes], stop: list[str]) -> None:
    """The text up to the first stop string, every token once, and whole ones but where that string cut the last."""
    pieces = Pieces(tuple(stop))
    deltas = told(pieces, tokens)
    text = "".join(delta.text for delta in deltas)
    assert not any(string in text for string in stop)
    assert b"".join(tokens).decode("utf-8", "replace").startswith(text)
    assert all(delta.text for delta in deltas)
    exact = [delta for delta in deltas if delta.token_ids]
    assert [token for delta in exact for token in delta.token_ids] == list(range(sum(delta.tokens for delta in exact)))
    whole = [b"".join(tokens[n] for n in delta.token_ids).decode("utf-8", "replace") for delta in exact]
    assert all(said.startswith(delta.text) for said, delta in zip(whole, exact, strict=True))
    cut = [said for said, delta in zip(whole, exact, strict=True) if said != delta.text]
    assert len(cut) <= pieces.stopped
