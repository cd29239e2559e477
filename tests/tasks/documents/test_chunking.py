"""Cutting texts: what every cut keeps to, for any text and tokenizer, and where a reader would see the cuts."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.documents.chunking import Piece, cut
from tasks.documents.costs import Count


def by_words(texts: Sequence[str]) -> list[int]:
    """As many tokens as words."""
    return [len(text.split()) for text in texts]


def by_characters(texts: Sequence[str]) -> list[int]:
    """As many tokens as characters, white space too, and two around each text."""
    return [len(text) + 2 for text in texts]


def by_pairs(texts: Sequence[str]) -> list[int]:
    """More tokens for a text than for its words: one for each word, and one for each two neighbours."""
    return [max(0, 2 * len(text.split()) - 1) for text in texts]


def by_bytes(texts: Sequence[str]) -> list[int]:
    """A token a byte, as for scripts that a tokenizer doesn't know; white space is free."""
    return [len("".join(text.split()).encode()) for text in texts]


COUNTS = [by_words, by_characters, by_pairs, by_bytes]


def told(text: str, count: Count = by_words, size: int = 12, overlap: int = 0) -> list[str]:
    return [piece.text for piece in cut(text, count, size, overlap)]


def assert_covers(text: str, pieces: Sequence[Piece]) -> None:
    """The pieces stand in the text in order, and no word is left out between them."""
    covered = 0
    while (rest := re.compile(r"\S").search(text, covered)) is not None:
        assert pieces, f"{text[covered:]!r} is in no piece"
        # Repetitive texts hold a piece in many places: the one that covers most.
        begin = text.rfind(pieces[0].text, 0, rest.start() + len(pieces[0].text))
        assert begin >= 0, f"{pieces[0].text!r} doesn't begin where the last piece ended, or before"
        covered, pieces = max(covered, begin + len(pieces[0].text)), pieces[1:]


WORDS = st.sampled_from(
    ["a", "word", "Said", "9.", "end.", "What?", "x" * 70, "长句子。短。", "é", "🌊🌊", "#", "- it", "|"]
)
SPACES = st.sampled_from([" ", " ", " ", "\n", "\n\n", "\r\n\r\n", "  \n \n", "\t", " " * 50])
TEXTS = st.lists(st.tuples(WORDS, SPACES)).map(lambda parts: "".join(word + space for word, space in parts))


@given(st.one_of(TEXTS, st.text(max_size=300)), st.sampled_from(COUNTS), st.integers(6, 60), st.data())
@settings(max_examples=150)
def test_cut_of_any_text_keeps_every_word_and_the_size(text: str, count: Count, size: int, data: st.DataObject) -> None:
    """Every word is in some piece, in order; none is empty, over the size, or wrongly counted; again is the same."""
    overlap = data.draw(st.integers(0, size // 2))
    pieces = cut(text, count, size, overlap)
    assert_covers(text, pieces)
    assert all(piece.text and piece.text == piece.text.strip() for piece in pieces)
    assert all(piece.tokens <= size and [piece.tokens] == count([piece.text]) for piece in pieces)
    assert cut(text, count, size, overlap) == pieces


def test_text_without_words_has_no_pieces() -> None:
    """White space is nothing to embed."""
    assert told("") == told(" \n\t\n ") == []


def test_text_that_fits_is_one_piece() -> None:
    """Nothing is cut without need, and the text stays as it is inside."""
    assert told(" One two.\n\n  Three  four. ") == ["One two.\n\n  Three  four."]


def test_paragraphs_are_kept_together() -> None:
    """A paragraph's end goes before a sentence's, if the piece is half full by then."""
    text = "a b c d. e f g.\n\nh i. j k l m. n o p."
    assert told(text) == ["a b c d. e f g.", "h i. j k l m. n o p."]


def test_long_paragraph_is_cut_between_sentences() -> None:
    """Neither an abbreviation's dot inside a sentence nor a comma is its end."""
    text = "A b c, d e f approx. g h. I j k l! Q r s t u."
    assert told(text) == ["A b c, d e f approx. g h.", "I j k l! Q r s t u."]


def test_long_sentence_is_cut_between_words() -> None:
    """A sentence that fits nowhere whole is cut, but its words aren't."""
    assert told("one two three four five six seven", size=3) == ["one two three", "four five six", "seven"]


def test_lines_of_a_list_or_of_code_stay_whole() -> None:
    """A line's end goes before a word's."""
    text = "- one two three\n- four five six\n- seven eight nine ten"
    assert told(text, size=9) == ["- one two three\n- four five six", "- seven eight nine ten"]
    assert told("a = b + c\nd = e + f\ng = h", size=11) == ["a = b + c\nd = e + f", "g = h"]


def test_word_longer_than_a_piece_is_cut_inside() -> None:
    """And only such a word: one that fits gets a piece that holds it."""
    assert "".join(told("ab " + "x" * 50 + " cd", by_characters, size=22)) == "ab" + "x" * 50 + "cd"
    assert told("a b c " + "y" * 18 + " d", by_characters, size=20, overlap=6) == ["a b c", "y" * 18, "d"]


def test_sentences_without_spaces_are_found() -> None:
    """Chinese and Japanese texts are cut after their full stops."""
    assert told("今天天气很好。我们去公园。明天下雨。", by_characters, size=16) == [
        "今天天气很好。我们去公园。",
        "明天下雨。",
    ]


@pytest.mark.parametrize("heading", ["# The boat", "The boat", "What it costs:"])
def test_heading_stays_with_what_follows(heading: str) -> None:
    """Marked, or short and alone on its line: a heading never ends a piece that could have ended before it."""
    text = f"It was late. All of them had gone to bed.\n\n{heading}\n\nThe boat costs 42 coins. Nobody bought it."
    assert told(text, size=14)[0] == "It was late. All of them had gone to bed."
    assert told(text, size=14)[1].startswith(heading)


def test_overlap_is_of_whole_sentences() -> None:
    """The sentences that fit into the overlap are said again."""
    text = "A b c d e. F g h. I j. K l m n o."
    assert told(text, size=10, overlap=5) == ["A b c d e. F g h. I j.", "F g h. I j. K l m n o."]


def test_overlap_is_of_words_where_a_sentence_is_too_long() -> None:
    """Without sentences of the right length the last words are said again."""
    assert told("one two three four five six seven eight", size=4, overlap=2) == [
        "one two three four",
        "three four five six",
        "five six seven eight",
    ]


def test_tokenizer_is_asked_a_few_times_whatever_the_length() -> None:
    """A question is a round trip: once around an empty text, once for the distinct words, once for the pieces."""
    asked: list[int] = []

    def counting(texts: Sequence[str]) -> list[int]:
        asked.append(len(texts))
        return by_words(texts)

    pieces = cut("The boat costs 42 coins. Nobody bought it.\n\n" * 5_000, counting, 100, 10)
    assert asked == [1, 9, len(pieces)]


def test_tokens_that_only_neighbours_make_are_counted_too() -> None:
    """Where a text has more tokens than its words, pieces get smaller and the size is kept."""
    pieces = cut("word " * 1_000, by_pairs, 20, 4)
    assert {piece.tokens <= 20 for piece in pieces} == {True}
    assert len(pieces) < 1_000 / 4


@pytest.mark.parametrize(
    ("text", "size", "overlap"), [("a", 10, 6), ("a", 10, -1), ("a", 2, 0), ("a 🌊", 3, 1)], ids=str
)
def test_sizes_that_can_not_be_kept_are_refused(text: str, size: int, overlap: int) -> None:
    """An overlap of more than half, no room beside the model's own tokens, a character that is too long."""
    with pytest.raises(ValueError, match="tokens"):
        cut(text, lambda texts: [len(text.encode()) + 2 for text in texts], size, overlap)
