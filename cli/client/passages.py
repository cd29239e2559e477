"""Passages of documents, and what an answer takes from them, for the eye."""

import textwrap
from collections.abc import Iterator
from typing import Any

Passage = dict[str, Any]

_SENTENCE = 60  # characters of one that is named


def told(number: int, passage: Passage) -> str:
    """Where the passage stands and how near it is, then its text, further to the right."""
    return f"{head(number, passage)}\n{textwrap.indent(passage['text'], '    ')}"


def head(number: int, passage: Passage) -> str:
    """Where the passage stands and how near it is."""
    return f"{place(number, passage)}, score {passage['score']:.2f}"


def place(number: int, passage: Passage) -> str:
    """Where the passage stands: its document, its page and its headings, as far as they are known."""
    source = passage["title"] or passage.get("filename") or passage["document_id"]
    page, path = passage.get("page"), " > ".join(passage.get("path") or ())
    return ", ".join(filter(None, (f"[{number}] {source}", page and f"page {page}", path, f"chunk {passage['chunk']}")))


def looked_in(result: dict[str, Any]) -> Iterator[str]:
    """Of an answer that it isn't known: the passages that were read for it, a line each."""
    passages = result["passages"]
    if not passages:
        yield "no passage has a score high enough to be read; --threshold sets how high"
    for number, passage in enumerate(passages, 1):
        yield f"looked in: {head(number, passage)}"


def cited(text: str, result: dict[str, Any]) -> Iterator[str]:
    """The sources of an answer, a line each; before them which sentence rests on which, where that isn't plain."""
    citations = result["citations"]
    for citation in citations:
        numbers = [source["passage"] for source in citation["passages"]]
        sentence = textwrap.shorten(text[citation["begins"] : citation["ends"]], _SENTENCE, placeholder="…")
        if not numbers:
            yield f"“{sentence}”: no passage says so"
        elif len(citations) > 1:
            yield f"“{sentence}”: {''.join(f'[{number}]' for number in numbers)}"
        if not citation.get("quote_found", True):
            yield f"“{sentence}”: what it quotes stands nowhere so"
    found = {source["passage"]: source for citation in citations for source in citation["passages"]}
    for number, source in sorted(found.items()):
        yield place(number, source)
