"""Special tokens: the template's are tokens, those that users write are words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers import files
from workers.engines import gguf
from workers.engines.marks import Marks

NAMES = {"<s>": 1, "</s>": 2, "<|im_start|>": 3, "<|im_end|>": 4, "<<": 5, "<|im": 6, "|>": 7, "#": 8}
MARKS = Marks.named(NAMES, frozenset({"<|im_end|>"}))
CONTENTS = st.lists(st.sampled_from([*NAMES, "a", " ", "<", "|", ">", "im_start", "日本", "\n"]), max_size=12).map(
    "".join
)


@given(CONTENTS)
def test_contents_have_no_special_tokens_and_the_template_keeps_its_own(content: str) -> None:
    """However names overlap: all ids are the template's, and no letter is lost or added."""
    pieces = MARKS.split(f"<s><|im_start|>user\n{MARKS.guarded(content)}<|im_end|>\n")
    assert [piece for piece in pieces if isinstance(piece, int)] == [1, 3, 4]
    assert MARKS.text(pieces) == f"<s><|im_start|>user\n{content}<|im_end|>\n"
    assert not any("\0" in piece for piece in pieces if isinstance(piece, str))


@given(CONTENTS)
def test_name_that_a_tokenizer_finds_in_plain_text_is_cut_in_contents(content: str) -> None:
    """No piece of text holds one whole."""
    pieces = MARKS.split(MARKS.guarded(content))
    assert not any("<|im_end|>" in piece for piece in pieces if isinstance(piece, str))


def test_longest_name_at_a_place_is_the_token() -> None:
    """As llama.cpp looks for long names first."""
    assert MARKS.split("<|im_start|><|im|>x") == [3, 6, 7, "x"]


def test_template_may_trim_and_look_into_guarded_contents() -> None:
    """What isn't a special token's name is as it was."""
    assert MARKS.guarded("  plain <b>text</b>\n") == "  plain <b>text</b>\n"


def test_vocabulary_of_thousands_of_special_tokens_has_one_pattern(tmp_path: Path) -> None:
    """Each of them is a word in a content, the ones that differ in the last digit too."""
    names = [f"<unused{number}>" for number in range(3000)]
    marks = Marks.named({name: number for number, name in enumerate(names)})
    assert marks.split(marks.guarded("".join(names))) == ["".join(names)]
    assert marks.split("".join(names)) == list(range(3000))


@pytest.mark.parametrize(
    ("template", "special"),
    [("{{ '<turn>' }}", {"<unk>", "<turn>"}), (None, {"<unk>", "<|im_end|>"})],
    ids=["template names it", "ends an answer"],
)
def test_tokens_that_users_defined_are_special_where_they_mean_something(
    tmp_path: Path, template: str | None, special: set[str]
) -> None:
    """Others of them, as spaces and tags, are what every text has."""
    last = "<turn>" if template else "<|im_end|>"
    path = files.foreign(tmp_path / "m.gguf", "llama", "llama", {"<unk>": 2, "a": 1, "<table>": 4, "  ": 4, last: 4})
    marks = Marks.of(gguf.read(path), template)
    assert set(marks.ids) == special
    assert marks.stubborn == {last}
