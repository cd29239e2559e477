"""How much of a text its embedding model can't read: then search leans on words."""

import math
import unicodedata
import uuid
from collections.abc import Sequence

from sqlalchemy.orm import Session

from db.documents import documents
from db.documents import unread as unread_table
from db.scope import scope
from tasks.documents import homes

# From this share on whoever brought the document is told (measured with all-MiniLM-L6-v2: 0.28 of Japanese, 0.6 of
# Chinese, all of Thai, 0.02 of Hindi, nothing of European languages and code).
WORTH_TELLING = 0.1
# An alphabet's words that have fewer letters in a token are spelled out: the model knows the letters, and no word of
# them. English has 4, Polish and Vietnamese 2; Russian, Greek and Arabic have 1.1 with that model.
_SPELLED = 1.5
_SCRIPTS_OF_LETTERS = ("LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "ARMENIAN", "GEORGIAN", "DEVANAGARI")


def unread(texts: Sequence[str], tokens: Sequence[Sequence[int]], unknown: int, around: int) -> float:
    """The share of the texts' tokens that stand for what the model can't read, 0 to 1.

    `tokens` are those of each text, with `around` around each; `unknown` is the id of what has no token. All of a text
    whose words are spelled out are taken for unread.
    """
    counts = [len(ids) - around for ids in tokens]
    missed = [
        count if _is_spelled(text, count) else ids.count(unknown)
        for text, ids, count in zip(texts, tokens, counts, strict=True)
    ]
    return min(1.0, sum(missed) / max(1, sum(counts)))


def note(session: Session, tenant_id: uuid.UUID, document_id: uuid.UUID, share: float, model: str) -> None:
    """Writes down what the model can't read, and a warning where that is worth telling. Idempotent.

    Raises `CollectionSwitched` where another model makes the collection's vectors by now.
    """
    with scope(session, tenant_id):
        if homes.of_document(session, tenant_id, document_id, model) is None:
            return
        unread_table.keep(session, tenant_id, document_id, share)
        if share >= WORTH_TELLING:
            told = f"{model} can't read {share:.0%} of the text: it is found by its words rather than by its meaning."
            documents.warn(session, tenant_id, document_id, told)


def leaning(words_weight: float, share: float | None) -> float:
    """The part that words have in a score: `words_weight`, and more where the model can't read a share of the texts.

    Measured with all-MiniLM-L6-v2 on Chinese and Thai (benchmarks/retrieval.py), where less finds less.
    """
    return words_weight + (1 - words_weight) * math.sqrt(share or 0.0)


def _is_spelled(text: str, tokens: int) -> bool:
    """Whether most of the text are letters of alphabets, and a token has hardly more than one of them."""
    letters, others = 0, 0
    for character in text:
        sort = unicodedata.category(character)[0]
        if sort in "LM" and unicodedata.name(character, "").startswith(_SCRIPTS_OF_LETTERS):
            letters += 1
        elif sort != "M" and not character.isspace():
            others += 1
    return letters > others and letters < _SPELLED * max(1, tokens - others)
