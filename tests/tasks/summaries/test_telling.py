"""What a text bears out of what is said of it, and which of its own sentences tell most."""

import pytest

from tasks.summaries import telling

MINUTES = (
    "The chair reported that the roof of the Elm Street building leaks again. Three offers for repairs came in: 48,000,"
    " 52,500 and 71,000 euros. After discussion the committee voted for the offer of 52,500 euros. Rents will not be"
    " raised before January. Ruiz asked that tenants be told of the scaffolding."
)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("The committee voted for the offer of 52,500 euros.", True),
        ("The roof of the Elm Street building leaks.", True),
        ("The committee voted for the offer of 93,000 euros.", False),  # a number that isn't there
        ("The roof of the Elm Street building does not leak.", False),  # denied nowhere near
        ("The server room has no power on Saturday.", False),  # of another text
    ],
)
def test_only_what_the_text_bears_out_is_said(said: str, kept: bool) -> None:
    assert (said in telling.grounded([said], [MINUTES], 3)) is kept


def test_what_is_missing_is_filled_up_in_the_texts_order() -> None:
    """With sentences of its own, none twice."""
    found = telling.grounded([], [MINUTES], 3)
    assert len(found) == 3
    assert [MINUTES.index(sentence) for sentence in found] == sorted(MINUTES.index(sentence) for sentence in found)
    assert telling.grounded([], ["The lamp is red. The lamp is red."], 3) == ["The lamp is red."]
    assert telling.grounded(["Something."], [""], 3) == ["Something."]


def test_of_several_documents_each_has_a_word() -> None:
    """Where they are apart; else one may have all."""
    others = ["Oscar likes honey very much.", "The boat costs 42 coins in the harbour."]
    found = telling.grounded([], [MINUTES, *others], 3, apart=True)
    assert found[1:] == others
    assert len([each for each in telling.grounded([], [MINUTES, *others], 3) if each in others]) < 2


def test_prose_has_no_code_no_tables_and_no_marks() -> None:
    """Where nothing else is in a text, it is left as it is."""
    table, code = "| a | b |\n|---|---|", "```\ncode()\n```"
    text = f"# Title\n\nUse the `lamp` as\n[told here](http://x).\n\n{code}\n\n{table}\n\nIt is *red*."
    assert telling.prose(text) == "Use the lamp as told here.\n\nIt is red."
    assert telling.prose("| a | b |") == "| a | b |"
