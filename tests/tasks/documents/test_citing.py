"""What an answer's sentences rest on, found in the passages."""

import random
from typing import Any

import pytest

from tasks.documents import citing, terms
from tasks.documents.citing import Citation

PUMPS = [
    {
        "document_id": "doc_1",
        "filename": "pumps.md",
        "title": "Pumps",
        "chunk": 0,
        "page": None,
        "path": ["Pump P-200", "Oil"],
        "begins": 100,
        "ends": 152,
        "text": "It takes 1.8 litres of oil.\nChange it every 500 hours.",
    },
    {
        "document_id": "doc_1",
        "filename": "pumps.md",
        "title": "Pumps",
        "chunk": 1,
        "page": None,
        "path": ["Pump P-300", "Oil"],
        "begins": 200,
        "ends": 252,
        "text": "It takes 2.6 litres of oil.\nChange it every 750 hours.",
    },
    {
        "document_id": "doc_2",
        "filename": "prices.csv",
        "title": None,
        "chunk": 0,
        "page": 3,
        "path": [],
        "header": "article;price",
        "begins": 0,
        "ends": 40,
        "text": "Pump P-200;1,200.50\nPump P-300;1,900",
    },
]


def cited(answer: str, passages: Any = PUMPS, question: str = "") -> list[list[int]]:
    """The passages' numbers, by sentence."""
    found = citing.cite(answer, passages, question)
    return [[source["passage"] for source in citation["passages"]] for citation in found]


def only(citations: list[Citation]) -> Citation:
    [citation] = citations
    return citation


@pytest.mark.parametrize(
    ("answer", "passages"),
    [
        ("The P-300 takes 2.6 litres of oil.", [[2]]),
        ("Pump P-200 is changed every 500 hours.", [[1]]),
        ("The price of pump P-300 is 1900.", [[3]]),
        ("The P-200 costs 1200.5.", [[3]]),
        ("The P-200 takes 2.6 litres of oil.", [[]]),  # the number is another pump's
        ("The P-400 takes 2.6 litres of oil.", [[]]),
        ("The P-200 takes 1.8 litres and the P-300 takes 2.6 litres of oil.", [[1, 2]]),
        ("Oil is changed. The moon is made of cheese.", [[1, 2], []]),
        ("Yes.", [[]]),
        ("", []),
    ],
)
def test_sentence_rests_on_passages_that_have_its_numbers_and_most_of_its_words(
    answer: str, passages: list[list[int]]
) -> None:
    assert cited(answer) == passages


def test_question_decides_between_passages_that_say_it_equally() -> None:
    passages = [{"text": "The red lamp costs 19 coins."}, {"text": "The code of the harbour is 19."}]
    assert cited("19.", passages) == [[1, 2]]
    assert cited("19.", passages, "What is the code of the harbour?") == [[2]]


@pytest.mark.parametrize(
    ("answer", "passages"),
    [
        ("It takes 2.6 litres of oil [2].", [[2]]),
        ("It takes 2.6 litres of oil [1].", [[2]]),  # what the model says isn't so
        ("It takes 2.6 litres of oil [7].", [[2]]),
        ("It is changed. [2] Oil [1, 2] is changed.", [[2, 1], [1, 2]]),
    ],
)
def test_marks_of_the_model_count_where_they_check_out(answer: str, passages: list[list[int]]) -> None:
    assert cited(answer) == passages


def test_citation_says_where_the_sentence_and_the_chunk_are() -> None:
    answer = "So it is. The P-300 costs 1900."
    citation = citing.cite(answer, PUMPS)[1]
    assert answer[citation["begins"] : citation["ends"]] == "The P-300 costs 1900."
    assert citation["passages"] == [
        {
            "passage": 3,
            "document_id": "doc_2",
            "filename": "prices.csv",
            "title": None,
            "chunk": 0,
            "page": 3,
            "path": [],
            "begins": 0,
            "ends": 40,
        }
    ]
    assert "quote_found" not in citation


@pytest.mark.parametrize(
    "quoted", ['"litres of oil. Change it"', "“litres of  oil.\u00a0Change it”", '"litres of oil. Change it."']
)
def test_quote_is_found_to_the_letter_but_for_spaces_and_marks(quoted: str) -> None:
    """Its place in the document is exact, whatever stood between its words."""
    citation = only(citing.cite(f"The manual of the P-200 says {quoted}", PUMPS[:1]))
    [source] = citation["passages"]
    [quote] = source["quotes"]
    assert citation["quote_found"] is True
    assert quote["begins"] is not None
    assert quote["ends"] is not None
    text = PUMPS[0]["text"]
    assert isinstance(text, str)
    assert text[quote["begins"] - 100 : quote["ends"] - 100] == "litres of oil.\nChange it"


def test_quote_that_stands_nowhere_is_told() -> None:
    """Also when the rest of the sentence is supported, and when another quote is found."""
    answer = 'The P-300 "takes 2.6 litres of the best oil" every 750 hours.'
    citation = only(citing.cite(answer, PUMPS))
    assert citation["quote_found"] is False
    mixed = only(citing.cite('It says "2.6 litres" and "every 700 hours"', PUMPS))
    assert mixed["quote_found"] is False
    assert [source["passage"] for source in mixed["passages"]] == [2]
    assert [quote["text"] for quote in mixed["passages"][0]["quotes"]] == ["2.6 litres"]


def test_quote_of_a_chunk_without_a_place_has_none() -> None:
    citation = only(citing.cite('It is "a red lamp".', [{"text": "This is a red lamp."}]))
    assert citation["passages"] == [{"passage": 1, "quotes": [{"text": "a red lamp", "begins": None, "ends": None}]}]


@pytest.mark.parametrize(
    ("answer", "passage"),
    [
        ("Der Turm ist 41 Meter hoch.", "Der alte Turm hat 41 Meter und ist hoch."),
        ("東京タワーの高さは333メートルです。", "東京タワーは高さ333メートル。"),
        ("หอคอยสูง 41 เมตร", "หอคอยเก่าสูง 41 เมตร"),
        ("It weighs 41 kg and opens at 16:00.", "weight: 41kg, weighs much; opening 16:00"),
        ("It costs 12,50 euros.", "costs: 12.5 euros"),
    ],
)
def test_other_languages_and_spellings_are_compared_too(answer: str, passage: str) -> None:
    assert cited(answer, [{"text": passage}]) == [[1]]
    assert cited(answer.replace("41", "42").replace("333", "332").replace("12,50", "13"), [{"text": passage}]) == [[]]


@pytest.mark.parametrize(
    "words",
    [
        "works worked working work",
        "changes changed changing change",
        "stopped stopping stops",
        "cities city",
        "boxes box",
    ],
)
def test_forms_of_a_word_have_one_stem(words: str) -> None:
    assert len({terms.stem(word) for word in words.split()}) == 1


def test_words_have_their_own_stems() -> None:
    words = ("bus", "is", "lens", "glass", "this", "red", "ring", "bed", "sing", "nurse", "harbour", "boat", "coins")
    assert len({terms.stem(word) for word in words}) == len(words)
    assert terms.stem("lamp") != terms.stem("lame")


def test_word_of_the_question_that_no_passage_has_is_not_excused() -> None:
    """A model puts what it found into the question's words, though it is of something else."""
    passage = {"text": "The lighthouse is 38 metres high."}
    answer = "The code of the lighthouse is 38 metres high."
    assert citing.cite(answer, [passage], "What is the code of the lighthouse?")[0]["passages"] == []
    assert citing.cite(answer, [passage], "How high is the lighthouse?")[0]["passages"] != []


def test_stems_of_any_words_take_bounded_room() -> None:
    """However many forms a client makes up, and however often a word has an ending."""
    assert terms.of("x" + "'s" * 1500).words == {"x" + "'s" * 1500}
    assert terms.of("the harbour’s boats").words == terms.of("the harbour's boat").words == {"harbour", "boat"}
    assert terms.stem.cache_info().maxsize is not None


@pytest.mark.parametrize("part", ['"a" ', "a. ", '"', "12.", "x-", "[1]", "“", "1,"])
def test_hostile_answers_and_passages_are_read_once(part: str) -> None:
    """Twenty long passages and a long answer, whatever is repeated: each sentence has its place, in order."""
    text = part * (20_000 // len(part))
    citations = citing.cite(text, [{"text": text, "begins": 0}] * 20)
    assert all(0 <= citation["begins"] < citation["ends"] <= len(text) for citation in citations)


def test_any_text_is_cited_within_itself() -> None:
    """Sentences of the passages themselves, drawn, rest on where they were drawn from."""
    chance = random.Random(1)
    passages = [
        {
            "text": " ".join(
                f"The {thing} of room {room} costs {chance.randint(100, 999)} coins." for thing in ("lamp", "bed")
            )
        }
        for room in range(20)
    ]
    for place in chance.sample(range(20), 10):
        first = passages[place]["text"].split(". ")[0] + "."
        assert place + 1 in cited(first, passages)[0]
