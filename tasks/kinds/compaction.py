"""Compaction items: a summary of what was said, which a later request gives back in the place of it.

OpenAI calls its content encrypted. Ours is the model's words, written so that clients pass them on as they are: they
are about the client's own conversation, and nothing is hidden from it.
"""

import base64
import binascii
from typing import Any

TYPE = "compaction"
MAX_TOKENS = 500  # of a summary: a small model may not find an end
_PREFIX = "forebay1."
SUM_UP = (
    "Sum up what was said so far in a few sentences: what is known, what was decided, what is still to be done."
    " Write only the summary."
)
SUMMED_UP = "What was said so far, summed up: "


def sealed(text: str) -> str:
    return _PREFIX + base64.urlsafe_b64encode(text.encode()).decode()


def opened(content: Any) -> str | None:
    """The summary in it; None where it isn't one that was made here."""
    if not isinstance(content, str) or not content.startswith(_PREFIX):
        return None
    try:
        return base64.b64decode(content.removeprefix(_PREFIX), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
