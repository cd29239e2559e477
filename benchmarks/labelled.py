"""Texts, questions for them, and which texts answer which: a public set, and sets that are made of templates."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LANGUAGES = ("spanish", "german", "chinese", "thai")
QUESTIONS_OF_A_KIND = 10

_TEMPLATES = Path(__file__).with_name("languages")
_FIELD = re.compile(r"^\.([TABW])\s*$")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Text:
    """A document; its place in the set is its number."""

    title: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the numbers of the texts that answer it."""

    text: str
    answers: frozenset[int]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A set in one language."""

    name: str
    language: str
    texts: Sequence[Text]
    questions: Sequence[Question]


def cranfield(folder: Path) -> Labelled:
    """1,400 abstracts of aerodynamics and 225 questions, numbered by order (Cleverdon, 1967).

    What is judged 1 (a complete answer) to 4 (of minimum interest) answers; the one text a question that is judged -1
    doesn't.
    """
    texts = [Text(_joined(one["T"]), _joined(one["W"])) for one in _records(folder / "cran.all.1400")]
    answers: dict[int, set[int]] = {}
    for line in (folder / "cranqrel").read_text().splitlines():
        question, text, grade = map(int, line.split())
        if grade > 0:
            answers.setdefault(question - 1, set()).add(text - 1)
    asked = [_joined(one["W"]) for one in _records(folder / "cran.qry")]
    questions = [Question(text, frozenset(answers.get(number, ()))) for number, text in enumerate(asked)]
    return Labelled("Cranfield", "english", texts, [question for question in questions if question.answers])


def generated(language: str) -> Labelled:
    """Passages that differ in little and questions for them, of templates. A question is answered by every passage
    that has all the things the question names."""
    texts: list[Text] = []
    questions: list[Question] = []
    for kind in tomllib.loads((_TEMPLATES / f"{language}.toml").read_text(encoding="utf-8"))["kind"]:
        rows = list(_rows(kind))
        for number in range(QUESTIONS_OF_A_KIND):
            pattern = kind["questions"][number % len(kind["questions"])]
            row = rows[(number * 5 + 2) % len(rows)]
            named = _PLACEHOLDER.findall(pattern)
            answers = [place for place, other in enumerate(rows) if all(other[name] == row[name] for name in named)]
            questions.append(Question(pattern.format(**row), frozenset(len(texts) + place for place in answers)))
        texts += [Text(None, kind["passage"].format(**row)) for row in rows]
    return Labelled(language, language, texts, questions)


def _rows(kind: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """What stands in the braces of each passage."""
    lists = {name: items for name, items in kind.items() if name not in ("passage", "questions")}
    for number in range(max(map(len, lists.values()))):
        yield {name: items[number % len(items)] for name, items in lists.items()}


def _records(file: Path) -> Iterator[dict[str, list[str]]]:
    """The records of a file in SMART's form: `.I` begins one, `.T` and others a field of it."""
    fields: dict[str, list[str]] = {}
    name = ""
    for line in file.read_text(encoding="latin-1").splitlines():
        if line.startswith(".I"):
            if fields:
                yield fields
            fields = {letter: [] for letter in "TABW"}
        elif match := _FIELD.match(line):
            name = match[1]
        else:
            fields[name].append(line)
    yield fields


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines).strip()
