"""What of an answer is kept as a summary."""

import pytest

from tasks.summaries import sentences
from tasks.summaries.manner import Manner


def tidy(said: str, *, finished: bool = True, points: bool = False, **manner: object) -> str:
    return sentences.tidy(said, Manner(**manner), finished=finished, points=points)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("One thing is red. Another is green.", "One thing is red. Another is green."),
        ("It is a red lamp. It is a red lamp. It is small.", "It is a red lamp. It is small."),
        ("- A red lamp.\n- A green boat.\n* A blue owl.", "A red lamp. A green boat. A blue owl."),
        ("One is red. Two is green. Three is blue. Four is grey.", "One is red. Two is green. Three is blue."),
        ("the lamp is in the house and the lamp is in the house and the lamp is in the house and", ""),
        ("Yes.", ""),
        ("", ""),
        (" \n - \n", ""),
    ],
)
def test_answer_without_repetitions_is_as_long_as_asked(said: str, kept: str) -> None:
    assert tidy(said) == kept


def test_loop_is_cut_and_what_came_before_it_stays() -> None:
    loop = "and the theory is general, " * 9
    assert tidy(f"The flow is laminar here. It is shown so {loop}") == "The flow is laminar here."


def test_sentence_that_broke_off_goes_and_is_marked_where_it_is_all_there_is() -> None:
    """Of nothing but a few words nothing is kept."""
    assert tidy("The lamp is red. The boat is in the har", finished=False) == "The lamp is red."
    only = tidy("The lamp that stood in the kitchen of the old house was", finished=False)
    assert only == "The lamp that stood in the kitchen of the old house …"
    assert tidy("The lamp that", finished=False) == ""


def test_points_are_lines_and_words_are_counted() -> None:
    assert tidy("A red lamp. A green boat.", points=True, style="bullets") == "- A red lamp.\n- A green boat."
    said = "One two three four five. " * 1 + "Six seven eight nine ten. Eleven twelve."
    assert tidy(said, words=8) == "One two three four five. Six seven eight nine ten."


def test_own_instruction_keeps_its_shape() -> None:
    assert tidy("| a | b |\n|---|---|\n| 1 | 2 |", instruction="A table.") == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_own_instruction_says_where_its_answer_broke_off() -> None:
    assert tidy("Ann, Bob, Carol, Dav", finished=False, instruction="All names.") == "Ann, Bob, Carol, Dav …"


def test_text_that_is_short_already_is_its_own_summary() -> None:
    assert sentences.shortened("The lamp is red.", Manner()) == "The lamp is red."
    assert sentences.shortened("The lamp is red. " * 4, Manner()) is None
    assert sentences.shortened("word " * 70, Manner()) is None


def test_words_written_without_spaces_are_counted() -> None:
    """In Chinese, Japanese and Thai a sentence is many words, and a long text none that is short already."""
    profit, shops = "该公司今年利润增长百分之二十，", "并将在明年开设三家新店。"
    assert tidy(profit + shops) == profit + shops
    assert (
        tidy(
            "。".join(("会社は利益を伸ばした", "店を三つ開く", "社長が話した")), language="Japanese", sentences=2
        ).count("。")
        == 2
    )
    assert tidy("บริษัทมีกำไรเพิ่มขึ้น") == "บริษัทมีกำไรเพิ่มขึ้น"
    assert tidy("好。") == ""
    assert sentences.shortened("公司" * 3000 + "。", Manner()) is None
    assert tidy(f"{profit}{profit}。{shops}{profit}。", words=12) == f"{profit}{profit}。"
    assert tidy(profit + "并将在明年开", finished=False).endswith(" …")
