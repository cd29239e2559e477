"""Questions over documents: how they are put to a model, with which passages, and how it says that it doesn't know."""

import bisect
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tasks import errors
from tasks.documents import sentences

_TEMPLATES = Path(__file__).parent / "templates"

Passage = dict[str, Any]  # as clients see it

# The sentence that the template asks a model to say, and what models make of it.
_REFUSAL = re.compile(
    r"(?:(?:i['’]?m )?sorry,? (?:but )?|unfortunately,? )?(?:the|this|these) (?:given |provided )?"
    r"(?:context|passages?|documents?) (?:given |provided )?(?:does|do)(?: not|n['’]t) "
    r"(?:say|mention|state|specify|contain|provide|include|give|tell|answer|indicate)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r";|\b(?:but|however|though|although|except|only|while|whereas)\b", re.IGNORECASE)
_LONGEST_REFUSAL = 200  # characters; a longer answer says something beside


@dataclass(frozen=True, slots=True)
class Example:
    """A turn that shows a model what is wanted: what was put to it, and what it answered."""

    asked: str
    answer: str


def room(max_tokens: int | None, context: int) -> int:
    """The tokens of the context that are kept for an answer of at most `max_tokens`."""
    return min(context // 4 if max_tokens is None else max_tokens, context // 2)


def prompt(question: str, passages: Sequence[Passage]) -> str:
    """The question as it is put to the model, its passages numbered from 1: the best last, which small models read best
    (measured: Gemma 3 270M answered 11 of 13 right so, and 4 in the order of the search)."""
    texts = "\n\n".join(reversed([numbered(number, passage) for number, passage in enumerate(passages, 1)]))
    return template("rag").format(passages=texts, question=question)


def numbered(number: int, passage: Passage) -> str:
    """A passage with what its text doesn't say: where it stands, and what heads the columns of its table."""
    source = passage.get("title") or passage.get("filename")
    path = [part for part in passage.get("path") or () if part != source]
    head = f"[{number}] {' > '.join(filter(None, (source, *path)))}".rstrip()
    header, text = passage.get("header"), passage["text"]
    return "\n".join((head, text) if not header or text.startswith(header) else (head, header, text))


@cache
def examples(name: str = "rag") -> tuple[Example, ...]:
    """What has been answered by a template of this name, for a model that wasn't trained to do what it is told."""
    shown = _read(f"{name}_examples")["examples"]
    places = [{place: text.strip() for place, text in each.items()} for each in shown]
    return tuple(Example(template(name).format(**each), each["answer"]) for each in places)


def continued(asked: str, examples: Sequence[Example]) -> str:
    """What is put to a model, as a text of examples that it goes on with: what they have in common is said once."""
    head, _, last = asked.partition("\n\n")
    shown = (f"{each.asked.removeprefix(head).strip()}\nAnswer: {each.answer}" for each in examples)
    return "\n\n".join((head, *shown, f"{last}\nAnswer:"))


def fitting(question: str, passages: Sequence[Passage], measure: Callable[[str], int], budget: int) -> list[Passage]:
    """The leading passages whose prompt has at most `budget` tokens by `measure`; of the first at least its beginning.

    Raises `ContextLengthExceeded` when the question leaves no room for that.
    """

    def fits(chosen: Sequence[Passage]) -> bool:
        return measure(prompt(question, chosen)) <= budget

    whole = most(len(passages), lambda count: fits(passages[:count]))
    if whole or not passages:
        return list(passages[:whole])
    first, text = passages[0], passages[0]["text"]
    kept = most(len(text), lambda count: fits([first | {"text": text[:count]}]))
    # To the last whole word, where there are words.
    beginning = text[:kept].rpartition(" ")[0] or text[:kept]
    if not beginning.strip():
        raise errors.ContextLengthExceeded(f"the question leaves no room for a passage in {budget} tokens")
    begins = first.get("begins")
    ends = {} if begins is None else {"ends": begins + len(beginning)}
    return [first | {"text": beginning} | ends]


def refuses(answer: str) -> bool:
    """Whether the answer is that the passages don't say: by its first sentence, which says nothing else. No answer is
    none too."""
    spans = sentences.split(answer)
    if not spans:
        return True
    first = spans[0].of(answer)
    said = _REFUSAL.match(first)
    return said is not None and len(answer) <= _LONGEST_REFUSAL and not _GOES_ON.search(first, said.end())


def nothing_found(question: str) -> str:
    """What is answered where no passage passes: in the question's language, where that is easily told."""
    known = _languages()
    for language in known:
        if language.letters and language.letters.search(question):
            return language.sentence
    words = re.findall(r"\w+", question.casefold())
    return max(known, key=lambda language: sum(word in language.words for word in words)).sentence


def most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest count up to `limit` that fits, 0 if none does. If a count fits, every smaller one must too."""
    return bisect.bisect_left(range(1, limit + 1), True, key=lambda count: not fits(count))


@dataclass(frozen=True, slots=True)
class _Language:
    """A language as questions tell it, by words or by letters, and how nothing is said in it."""

    sentence: str
    words: frozenset[str]
    letters: re.Pattern[str] | None


@cache
def _languages() -> tuple[_Language, ...]:
    told = _read("nothing_found")
    return tuple(
        _Language(
            each["sentence"],
            frozenset(each["words"].split()),
            re.compile(f"[{each['letters']}]") if "letters" in each else None,
        )
        for each in told.values()
    )


@cache
def template(name: str) -> str:
    """A template's text, without the line break at its end."""
    return (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8").removesuffix("\n")


@cache
def _read(name: str) -> Mapping[str, Any]:
    return tomllib.loads((_TEMPLATES / f"{name}.toml").read_text(encoding="utf-8"))
