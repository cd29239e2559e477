"""How a question is put to a model, and how it is known that it wasn't answered."""

from typing import Any

import pytest

from tasks import errors
from tasks.documents import questions

LAMP = {"text": "The red lamp costs 19 coins.", "title": "Lamps", "filename": "lamps.md", "path": ["Lamps", "Red"]}
TABLE = {"text": "red;19\nblue;21", "filename": "prices.csv", "title": None, "path": [], "header": "lamp;price"}
BARE = {"text": "The lamp is old."}


def test_passages_are_numbered_and_say_where_they_stand() -> None:
    """By title or file name, headings that don't repeat it, and what heads a table's columns; the best comes last."""
    assert questions.prompt("How much?", [LAMP, TABLE, BARE]).endswith(
        "Context:\n"
        "[3]\nThe lamp is old.\n\n"
        "[2] prices.csv\nlamp;price\nred;19\nblue;21\n\n"
        "[1] Lamps > Red\nThe red lamp costs 19 coins.\n\n"
        "Question: How much?"
    )


def test_header_that_the_text_begins_with_is_said_once() -> None:
    passage = TABLE | {"text": "lamp;price\nred;19"}
    assert questions.numbered(1, passage) == "[1] prices.csv\nlamp;price\nred;19"


def test_braces_in_texts_are_no_places_of_ours() -> None:
    prompt = questions.prompt("What is {passages}?", [{"text": "{question} {0}"}])
    assert "[1]\n{question} {0}\n" in prompt
    assert prompt.endswith("What is {passages}?")


def test_passages_that_fit_are_kept_whole_and_in_order() -> None:
    whole = len(questions.prompt("How much?", [LAMP, TABLE]))
    assert questions.fitting("How much?", [LAMP, TABLE, BARE], len, whole) == [LAMP, TABLE]


def test_beginning_of_the_first_is_kept_where_none_fits() -> None:
    """To a whole word; it says where it ends in the document now."""
    passage = LAMP | {"begins": 100, "ends": 128}
    [kept] = questions.fitting("How much?", [passage], len, len(questions.prompt("How much?", [LAMP])) - 5)
    assert kept["text"] == "The red lamp costs 19"
    assert (kept["begins"], kept["ends"]) == (100, 100 + len(kept["text"]))
    with pytest.raises(errors.ContextLengthExceeded):
        questions.fitting("How much?", [passage], len, len(questions.prompt("How much?", [])))


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("The context does not say.", True),
        ("The context doesn’t mention the lamp.", True),
        ("The provided documents do not contain this.", True),
        ("The lamp costs 19 coins.", False),
        ("The manual does not say so.", False),
        ("The lamp costs 19 coins. The context does not say more.", False),
        ("The document does not expire.", False),
        ("Sorry, but these passages do not say who, where and when.", True),
        ("The contract says documents that the tenant does not provide are void.", False),
        ("The documents do not mention Anna, but the passages say that she left in May.", False),
        ("The documents do not mention Anna; she left in May.", False),
        ("", True),
        (" \n", True),
        ("The lamp costs 19 coins, as the first passage says. " * 4 + "The context does not say more.", False),
    ],
)
def test_refusal_is_known_by_the_templates_sentence(answer: str, refuses: bool) -> None:
    assert questions.refuses(answer) is refuses


def test_template_asks_for_the_refusal_that_is_known() -> None:
    """And an example that refuses does so in these words."""
    assert "say that the context does not say" in questions.template("rag")
    assert [questions.refuses(each.answer) for each in questions.examples()] == [False, True, False]


def test_examples_have_the_form_of_the_question() -> None:
    asked = questions.examples()[0].asked
    assert asked.startswith(questions.template("rag").partition("{")[0])
    assert asked.endswith("Question: Who built the old tower?")


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("What does the lamp cost?", "I don't know"),
        ("zzz", "I don't know"),
        ("Wie viel kostet die Lampe?", "Das weiß ich nicht"),
        ("¿Cuánto cuesta la lámpara?", "No lo sé"),
        ("Où est la lampe ?", "Je ne sais pas"),
        ("Quanto custa a lâmpada?", "Não sei"),
        ("Quanto costa la lampada?", "Non lo so"),
        ("Wat kost de lamp?", "Dat weet ik niet"),
        ("灯多少钱？", "我不知道"),
        ("塔の高さは？", "わかりません"),
        ("Где лампа?", "Я не знаю"),
        ("โคมไฟราคาเท่าไร", "ไม่ทราบ"),
    ],
)
def test_nothing_is_said_in_the_questions_language(question: str, begins: str) -> None:
    assert questions.nothing_found(question).startswith(begins)


@pytest.mark.parametrize("passages", [[], [LAMP]])
def test_prompt_without_room_for_anything_takes_none(passages: list[Any]) -> None:
    """As many as fit: none where there are none."""
    assert questions.fitting("How much?", passages, len, 10_000) == passages
