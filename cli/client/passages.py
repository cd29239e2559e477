"""Passages of documents, for the eye."""

import textwrap
from typing import Any

Passage = dict[str, Any]


def told(number: int, passage: Passage) -> str:
    """Where the passage stands and how near it is, then its text, further to the right."""
    return f"{head(number, passage)}\n{textwrap.indent(passage['text'], '    ')}"


def head(number: int, passage: Passage) -> str:
    """Where the passage stands and how near it is."""
    source = passage["title"] or passage.get("filename") or passage["document_id"]
    return f"[{number}] {source}, chunk {passage['chunk']}, score {passage['score']:.2f}"
