"""In which order the lines of batches run: their ids carry it, as the ids of all waiting jobs do (docs/adr/0030).

Within a tenant's lane and a priority, jobs go by their ids. A plain job's begins with the time at which it was made. A
line's begins with the time at which its batch would have been made to have its end after `USUAL_WINDOW`: so batches go
by the ends of their windows, and a plain job of the batch lane has the turn of a batch of that window.
"""

import datetime as dt
import uuid

from tasks import ids

USUAL_WINDOW = dt.timedelta(hours=24)


def line_id(batch: uuid.UUID, ends_at: dt.datetime, rank: int, line: int) -> uuid.UUID:
    """The id of a line of the batch whose window ends then: equal for all who ask. `rank` is `grouping.ranks`'."""
    return ids.of_line(batch, (ends_at - USUAL_WINDOW).timestamp(), rank, line)
