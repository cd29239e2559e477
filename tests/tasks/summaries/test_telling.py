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
        ("Rents are told, and rents are told.", False),  # says next to nothing, twice
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
    """Where nothing else is in a text, it can at least be read."""
    table, code = "| a | b |\n|---|---|", "```\ncode()\n```"
    text = f"# Title\n\nUse the `lamp` as\n[told here](http://x).\n\n{code}\n\n{table}\n\nIt is *red*."
    assert telling.prose(text) == "Use the lamp as told here.\n\nIt is red."
    assert telling.prose("| a | b |") == "a, b"
    assert telling.prose("# Crew\n\n| name | role |\n|---|:--|\n| Mira | cook |") == "Crew\n\nname, role\n\nMira, cook"


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        (
            "One tells of dogs.\n\n\n\n\nTwo tells of cats\nand of more.",
            "One tells of dogs.\n\nTwo tells of cats and of more.",
        ),
        ("<5 means a low risk, and more a high one.", "<5 means a low risk, and more a high one."),
        ("<p>\nA lamp that is red stands there.\n</p>", "A lamp that is red stands there."),
        ("- A lamp that is red.\n\n    It stands in the hall.", "- A lamp that is red.\n\nIt stands in the hall."),
        ("It is done so:\n\n    code()\n\n    more()\n\nThat is all.", "It is done so:\n\nThat is all."),
        ("The lamp is red here.\n```\nAnd the boat is green.", "The lamp is red here.\n\nAnd the boat is green."),
        (
            "The lamp is red here.\n~~~ a\ncode\n~~~\n***\nThe boat is green.",
            "The lamp is red here.\n\nThe boat is green.",
        ),
        (
            "budget: 48000\nmilestones[0].name: First draft\n[1].day: May\nThe boat leaves on the first day of May.",
            "The boat leaves on the first day of May.",
        ),
        ("note: The boat leaves in May.\nWarning: it is red", "note: The boat leaves in May.\nWarning: it is red"),
        ("[The lamp [is] red](http://x) in the hall.", "[The lamp [is] red](http://x) in the hall."),
    ],
)
def test_prose_is_whatever_is_not_marked_as_something_else(text: str, prose: str) -> None:
    """Empty lines are no indentation, and what is compared no HTML."""
    assert telling.prose(text) == prose


def test_of_what_has_prose_nothing_else_is_a_sentence() -> None:
    text = "# Rules\n\nbudget: 48000\n\n| name | role |\n|---|---|\n| Mira | cook |\n\n"
    text += "Nobody swims at night. Dogs stay out."
    assert telling.grounded([], [telling.prose(text)], 9) == ["Nobody swims at night.", "Dogs stay out."]


@pytest.mark.parametrize(
    "part",
    [
        "[",
        "a: ",
        "a.",
        "a[0]",
        "![",
        "[](",
        "[a](",
        " ",
        " \n",
        "\t",
        "`",
        "*",
        "-",
        "<",
        "|",
        "```\n",
        "# ",
        "1.",
    ],
)
def test_hostile_text_is_looked_at_a_few_times(part: str) -> None:
    """Looked at from each of its characters, it would take hours."""
    assert telling.prose(f"a{part * 500_000}b").strip("`*\n")[:1] == "a"
