"""What is put to a model to have it summarise, made of templates: one for models that do as told, one for others."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tasks.summaries import telling
from tasks.summaries.manner import Manner

_TEMPLATES = Path(__file__).parent / "templates"
_TOKENS_A_WORD = 2.5  # of languages whose words a vocabulary knows in parts
_SLACK_TOKENS = 24
_NOTES_SHARE = 8  # of the context a note may have at most one part in so many: so some go into one prompt
_NOTES_TOKENS = (48, 160)
_WORDS_A_SENTENCE = 22
_PART_TOKENS, _UNTOLD_PART_TOKENS = 4096, 512


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a step is for. `subject` is what the text is: `whole`, `part`, `parts` or `documents`.

    `last`: what it gives is the summary; else notes, of which others are made.
    """

    subject: str
    last: bool


@dataclass(frozen=True, slots=True)
class Put:
    """What is put to a model: a message for one that does as told, else a prompt to be continued to a `stop`."""

    text: str
    is_message: bool
    stop: tuple[str, ...]
    max_tokens: int


def notes_tokens(context: int) -> int:
    """How many tokens a note may have."""
    least, most = _NOTES_TOKENS
    return max(least, min(most, context // _NOTES_SHARE))


def part_tokens(*, told: bool) -> int:
    """How many tokens a part of a document has at most, however many more the context holds: what is in the middle of
    more is overlooked. A model that doesn't do as told loses its thread sooner."""
    return _PART_TOKENS if told else _UNTOLD_PART_TOKENS


def is_short(tokens: int, *, told: bool) -> bool:
    """Whether a text of so many tokens may be summarised at once, where a prompt holds it."""
    return told or tokens <= _UNTOLD_PART_TOKENS


def most_tokens(manner: Manner, context: int) -> int:
    """How many tokens a summary may have."""
    return min(int(_TOKENS_A_WORD * manner.about_words) + _SLACK_TOKENS, context // 3)


def notes(context: int) -> Manner:
    """How long a note may be."""
    return Manner(words=int(notes_tokens(context) / _TOKENS_A_WORD * 1.5))


def put(manner: Manner, purpose: Purpose, texts: Sequence[str], title: str | None, context: int, told: bool) -> Put:
    """A step over some texts, for a model of so many tokens' context; `told` says that it was trained to do as told.

    What others read is prose: without code and tables.
    """
    most = most_tokens(manner, context) if purpose.last else notes_tokens(context)
    joined = "\n\n".join(texts)
    if told:
        return Put(_message(manner, purpose, joined, title, most), True, (), most)
    text, stop = _continued(manner, purpose, telling.prose(joined))
    return Put(text, False, stop, most)


def _message(manner: Manner, purpose: Purpose, text: str, title: str | None, most: int) -> str:
    own = _read("chat")
    sentences = max(1, int(most / _TOKENS_A_WORD / _WORDS_A_SENTENCE))
    length = own["length_sentences"].format(number=sentences)
    style = "own_notes" if manner.instruction else "notes"
    if purpose.last:
        style = "own" if manner.instruction else manner.style
        length = _length(manner, own)
    # A client's braces are no places of ours.
    how = own["styles"][style].replace("{length}", length).replace("{instruction}", manner.instruction or "")
    told = {
        "subject": own["subjects"][purpose.subject],
        "how": how,
        "language": _language(manner, purpose, own),
        "title": own["title"].format(title=title) if title else "",
        "text": text,
    }
    return str(own["prompt"].strip().format_map(told))


def _length(manner: Manner, own: Mapping[str, Any]) -> str:
    if manner.most_sentences is None:
        return str(own["length_words"].format(number=manner.about_words))
    name = "length_points" if manner.style == "bullets" and not manner.instruction else "length_sentences"
    return str(own[name].format(number=manner.most_sentences))


def _language(manner: Manner, purpose: Purpose, own: Mapping[str, Any]) -> str:
    """Notes are in the text's language: only the summary is in another."""
    if not purpose.last or manner.language is None:
        return ""
    return str(own["language"].format(language=manner.language))


def _continued(manner: Manner, purpose: Purpose, text: str) -> tuple[str, tuple[str, ...]]:
    own = _read("base")
    kind = "own" if manner.instruction else "prose"
    if purpose.last and manner.style == "bullets" and not manner.instruction:
        kind = "bullets"
    word = own["words"][kind].format(language=_language(manner, purpose, own))
    examples = [
        own["example"].strip().format(text=each["text"], word=own["words"][kind].format(language=""), summary=said)
        for each in own["examples"]
        if (said := _example(each, kind))
    ]
    head = own["heads"][kind].replace("{instruction}", manner.instruction or "")
    asked = own["example"].strip().format(text=text, word=word, summary="").rstrip() + "\n"
    if kind == "bullets":
        asked += "-"
    return own["separator"].join([head, *examples, asked]), tuple(own["stop"])


def _example(each: Mapping[str, Any], kind: str) -> str:
    if kind == "bullets":
        return "\n".join(f"- {point}" for point in each["bullets"])
    return str(each["prose"]) if kind == "prose" else ""


@cache
def _read(name: str) -> Mapping[str, Any]:
    return tomllib.loads((_TEMPLATES / f"{name}.toml").read_text(encoding="utf-8"))
