"""In which order the lines of batches run: their ids carry it, as the ids of all waiting jobs do (docs/adr/0030).

Within a tenant's lane and a priority, jobs go by their ids. A plain job's begins with the time at which it was made. A
line's begins with the time at which its batch would have been made to have its end after `USUAL_WINDOW`: so batches go
by the ends of their windows, and a plain job of the batch lane has the turn of a batch of that window.
"""

import base64
import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from tasks import ids

USUAL_WINDOW = dt.timedelta(hours=24)


def line_id(batch: uuid.UUID, ends_at: dt.datetime, rank: int, line: int) -> uuid.UUID:
    """The id of a line of the batch whose window ends then: equal for all who ask. `rank` is `grouping.ranks`'."""
    return ids.of_line(batch, (ends_at - USUAL_WINDOW).timestamp(), rank, line)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of each line of a batch, by its place in the file. `packed` is how a stage hands them to the next: three
    bytes a line in base64, or nothing where each line's rank is its place.
    """

    packed: str = ""

    @classmethod
    def of(cls, ranks: Sequence[int]) -> "Ranks":
        if ranks == list(range(len(ranks))):
            return cls()
        return cls(base64.b64encode(b"".join(rank.to_bytes(3) for rank in ranks)).decode())

    def of_line(self, place: int) -> int:
        at = 4 * place  # three bytes are four characters
        return int.from_bytes(base64.b64decode(self.packed[at : at + 4])) if self.packed else place
