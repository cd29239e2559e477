"""Follow-ups made questions of their own: what is put to a model, and what of its answers is taken."""

import pytest

from tasks.documents import followups
from tasks.documents.followups import Said

HISTORY = [Said("user", "Where is the red lamp P-300?"), Said("assistant", "The red lamp is in the\nkitchen.")]


def test_conversation_is_told_line_by_line() -> None:
    assert followups.prompt(HISTORY, "How much does it cost?").endswith(
        "Conversation:\n"
        "User: Where is the red lamp P-300?\n"
        "Assistant: The red lamp is in the kitchen.\n\n"
        "Last question: How much does it cost?"
    )


def test_newest_turns_are_kept_where_not_all_fit() -> None:
    budget = len(followups.prompt(HISTORY[1:], "Why?"))
    assert followups.fitting(HISTORY, "Why?", len, budget) == HISTORY[1:]
    assert followups.fitting(HISTORY, "Why?", len, 10_000) == HISTORY
    assert followups.fitting(HISTORY, "Why?", len, 10) == []


@pytest.mark.parametrize(
    ("made", "taken"),
    [
        ("How much does the red lamp cost?", "How much does the red lamp cost?"),
        ('"How much does the lamp P-300\ncost?"', "How much does the lamp P-300 cost?"),
        ("", None),
        ("?!", None),
        ("How much does the red lamp cost? " * 20, None),
        ("The context does not say.", None),
        ("Where is the red lamp?", None),  # another question
        ("How much does the lamp P-400 cost?", None),  # a code that nobody said
        ("How much did Marta's old boat in Velmar cost?", None),
    ],
)
def test_question_is_taken_if_it_can_be_that(made: str, taken: str | None) -> None:
    assert followups.accepted(made, HISTORY, "How much does it cost?") == taken


def test_code_of_the_question_must_stay() -> None:
    assert followups.accepted("Where is the red lamp?", HISTORY, "And the P-500?") is None
    assert followups.accepted("Where is the lamp P-500?", HISTORY, "And the P-500?") == "Where is the lamp P-500?"


def test_question_of_no_words_may_become_any_of_the_conversation() -> None:
    assert followups.accepted("Where is the red lamp?", HISTORY, "Which?") == "Where is the red lamp?"


def test_what_was_said_last_goes_before_a_question_of_which_nothing_came() -> None:
    said = "Where is the red lamp P-300? The red lamp is in the\nkitchen. How much?"
    assert followups.together(HISTORY, "How much?") == said
    long = [Said("user", "word " * 1000), *HISTORY]
    together = followups.together(long, "How much?")
    assert together.startswith("word ")
    assert together.endswith(said)
    assert len(together) < 700


def test_examples_would_be_taken() -> None:
    """What a model is shown is what is wanted of it."""
    for each in followups.examples():
        conversation, _, question = each.asked.rpartition("\n\nLast question: ")
        lines = conversation.rpartition("Conversation:\n")[2].splitlines()
        history = [Said("user", line.partition(": ")[2]) for line in lines]
        assert followups.accepted(each.answer, history, question) == each.answer
