"""What a summary is made of: one document's text, or the summaries of several documents.

Every function that takes a session never commits, and opens the tenant's scope itself.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from db.documents import chosen
from db.scope import scope
from tasks import errors, ids
from tasks.documents.chunking import About
from tasks.documents.marks import Marks
from tasks.jobs.family import Grown
from tasks.summaries import sources
from tasks.summaries.sources import Part


@dataclass(frozen=True, slots=True)
class Material:
    """`texts` are what a summary begins with: the document's own, or a note for each of several documents.

    `parts` are the document's chunks in its text, `about` what is known of that beside its words. `documents` are those
    of the notes, `own` the words of those sentences in their summaries that stand so in the documents.
    """

    texts: Sequence[str]
    text: str = ""
    title: str | None = None
    filename: str | None = None
    parts: Sequence[Part] = ()
    about: About = field(default_factory=About)
    documents: Sequence[uuid.UUID] = ()
    own: frozenset[str] = frozenset()

    @property
    def name(self) -> str | None:
        """What a model is told of where the text is from."""
        return self.title or self.filename

    def told_of_documents(self, said: Sequence[str]) -> list[dict[str, Any]]:
        """These sentences, each with the documents that it comes from, the likeliest first."""
        whole, parts = "", list[Part]()
        for number, text in enumerate(self.texts):
            parts.append(Part(number, len(whole), len(whole) + len(text)))
            whole += text + "\n\n"
        found = sources.of(said, whole, parts)
        return [
            {
                "text": text,
                "by": "text" if sources.words(text) in self.own else "model",
                "documents": [ids.show(self.documents[at], ids.DOCUMENT) for at in source.parts],
            }
            for text, source in zip(said, found, strict=True)
        ]


def document(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID) -> Material:
    """A document's text and what is known of it. Raises `JobError` for one that is gone, failed or empty."""
    with scope(session, tenant_id):
        found = chosen.whole(session, tenant_id, document_id)
        chunks = chosen.chunks(session, tenant_id, document_id) if found else []
    if found is None:
        raise errors.DocumentGone(f"the document {ids.show(document_id, ids.DOCUMENT)} was deleted")
    row, text, marks = found
    if row.error_code:
        raise errors.DocumentFailed(row.error_code, row.error_message or "")
    if text is None or not text.strip():
        raise errors.UnreadableDocument("it holds no text")
    known = [(begins, ends) for _, _, begins, ends in chunks if begins is not None and ends is not None]
    if len(known) < len(chunks):
        known = list(places(text, [chunk for _, chunk, _, _ in chunks]))
    parts = [Part(row[0], *place) for row, place in zip(chunks, known, strict=True)]
    about = About(kind=row.kind, marks=Marks.from_json(marks) if marks else Marks())
    return Material([text], text, row.title, row.filename, parts, about)


def part(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, begins: int, ends: int) -> str:
    """These characters of a document's text. Raises `DocumentGone`."""
    with scope(session, tenant_id):
        text = chosen.part(session, tenant_id, document_id, begins, ends)
    if text is None:
        raise errors.DocumentGone(f"the document {ids.show(document_id, ids.DOCUMENT)} was deleted")
    return text


def documents(
    session: Session, tenant_id: uuid.UUID, document_ids: Sequence[uuid.UUID], grown: Sequence[Grown]
) -> Material:
    """A note for each of the documents that have a summary: their jobs have the first places in the family."""
    with scope(session, tenant_id):
        names = chosen.names(session, tenant_id, document_ids)
    notes, of, own = [], [], set[str]()
    for each in grown:
        if each.place < len(document_ids) and each.result is not None:
            document_id = document_ids[each.place]
            filename, title = names.get(document_id, (None, None))
            name = title or filename
            notes.append(f"{name}: {each.result['summary']}" if name else str(each.result["summary"]))
            of.append(document_id)
            said = [each["text"] for each in each.result["sentences"] if each.get("by") == "text"]
            own |= {sources.words(text) for one in said for text in (one, f"{name}: {one}")}
    return Material(notes, documents=of, own=frozenset(own))


def places(text: str, pieces: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Where each piece stands in the text it was cut from; one may begin before the one before it ends."""
    found, since = [], 0
    for piece in pieces:
        begins = text.find(piece, since)
        if begins < 0:  # it was cut from another version of the text
            begins = since
        found.append((begins, min(len(text), begins + len(piece))))
        since = begins + 1
    return tuple(found)
