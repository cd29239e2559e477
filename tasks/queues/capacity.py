"""Who serves each queue now: the living workers, what they can do together, and what waits where none serves.

The rows are `db.workers`' and `db.jobs`'; the API and the workers reach them here.
"""

from db.jobs import unserved
from db.probing import write
from db.workers import Strength, beat, beat_and_look, identities, register, remove, strength, strengths

__all__ = [
    "Strength",
    "beat",
    "beat_and_look",
    "identities",
    "register",
    "remove",
    "strength",
    "strengths",
    "unserved",
    "write",
]
