"""In which order the lines of batches run: their ids carry it, as the ids of all waiting jobs do (docs/adr/0030).

Within a tenant's lane and a priority, jobs go by their ids. A plain job's begins with the time at which it was made. A
line's begins with the time at which its batch would have been made to have its end after `USUAL_WINDOW`: so batches go
by the ends of their windows, and a plain job of the batch lane has the turn of a batch of that window.
"""

import base64
import datetime as dt
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from tasks import ids
from tasks.ids import Rank

USUAL_WINDOW = dt.timedelta(hours=24)
_PACKED = struct.Struct(">HH")


def line_id(batch: uuid.UUID, ends_at: dt.datetime, rank: Rank, line: int) -> uuid.UUID:
    """The id of a line of the batch whose window ends then: equal for all who ask. `rank` is `grouping.ranks`'."""
    return ids.of_line(batch, (ends_at - USUAL_WINDOW).timestamp(), rank, line)


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of each line of a batch, by its place in the file. `packed` is how a stage hands them to the next: four
    bytes a line in base64, or nothing where all lines are one group, in the order of the file.
    """

    packed: str = ""

    @classmethod
    def of(cls, ranks: Sequence[Rank]) -> "Ranks":
        if all(rank == (0, place) for place, rank in enumerate(ranks)):
            return cls()
        return cls(base64.b64encode(b"".join(_PACKED.pack(*rank) for rank in ranks)).decode())

    def of_line(self, place: int) -> Rank:
        if not self.packed:
            return 0, place
        first = _PACKED.size * place
        at, skipped = first // 3 * 4, first % 3  # three bytes are four characters
        return _PACKED.unpack_from(base64.b64decode(self.packed[at : at + 8]), skipped)
