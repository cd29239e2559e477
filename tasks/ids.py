"""Ids: UUIDv7 inside, with a prefix outside."""

import hashlib
import uuid

from uuid_utils.compat import uuid7

JOB = "job_"
DOCUMENT = "doc_"
WEBHOOK = "hook_"
DELIVERY = "dlv_"
MESSAGE = "msg_"
EVENT = "evt_"
FILE = "file-"
UPLOAD = "upload_"
PART = "part_"
VECTOR_STORE = "vs_"
FILE_BATCH = "vsfb_"
CONVERSATION = "conv_"
REQUEST = "req_"
BATCH = "batch_"
MESSAGE_BATCH = "msgbatch_"
LINE = "batch_req_"
RESPONSE = "resp_"

Rank = tuple[int, int]  # of a batch's line: its group's number, and its own number in the group
_OF_BATCH, _OF_GROUP, _RANKED = 9, 11, 13  # so many bytes of a line's id say of which batch, group and rank it is


def new() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): ids sort by the time they were made."""
    return uuid7()


def derived(parent: uuid.UUID, place: int) -> uuid.UUID:
    """The id of a job's child in that place: equal for all who ask, as old as its parent's, and sorted by the place.

    Those of 2^18 places do; then they begin anew.
    """
    high, low = place >> 6 & 0xFFF, place & 0x3F
    return uuid.UUID(
        bytes=parent.bytes[:6] + bytes((0x70 | high >> 8, high & 0xFF, 0x80 | low)) + _drawn(parent, place)[:7]
    )


def beside(child: uuid.UUID, place: int) -> uuid.UUID:
    """The id of a child's own child: equal for all who ask, and sorted before those of the later of its siblings."""
    return uuid.UUID(bytes=child.bytes[:9] + _drawn(child, place)[:7])


def within(whole: uuid.UUID, place: int) -> uuid.UUID:
    """The id of a part in that place, below 2^16: equal for all who ask, sorted by the place, and beside other ids as
    that of the whole is."""
    return uuid.UUID(bytes=whole.bytes[:12] + place.to_bytes(2) + _drawn(whole, place)[:2])


def of_line(batch: uuid.UUID, turn_at_s: float, rank: Rank, line: int) -> uuid.UUID:
    """The id of a batch's line: equal for all who ask.

    Lines sort by `turn_at_s`, a Unix time, then by their batch, then by the rank: the number of the line's group, and
    the line's number in it, both below 2^16.
    """
    kin, turn_ms = hashlib.sha256(batch.bytes).digest(), max(0, round(turn_at_s * 1000))
    variant = bytes((0x70 | kin[0] & 0xF, kin[1], 0x80 | kin[2] & 0x3F))
    ranked = b"".join(number.to_bytes(2) for number in rank)
    return uuid.UUID(bytes=turn_ms.to_bytes(6) + variant + ranked + _drawn(batch, line)[:3])


def of_choice(line: uuid.UUID, place: int) -> uuid.UUID:
    """The id of a line's child in that place, below 2^16: equal for all who ask, and in the order where the line is."""
    differs = _drawn(line, place)[0] & 0xFE | ~line.bytes[15] & 1  # from the line's own last bit: the ids never meet
    return uuid.UUID(bytes=line.bytes[:_RANKED] + place.to_bytes(2) + bytes((differs,)))


def batch_of(line: uuid.UUID) -> bytes:
    """How the ids of all lines of the line's batch begin, and those of no other job."""
    return line.bytes[:_OF_BATCH]


def group_of(line: uuid.UUID) -> bytes:
    """How the ids of all lines of the line's group begin, and those of no other job. Of later groups it is greater."""
    return line.bytes[:_OF_GROUP]


def between(begin: bytes) -> tuple[uuid.UUID, uuid.UUID]:
    """The least and the greatest of the ids that begin so."""
    rest = 16 - len(begin)
    return uuid.UUID(bytes=begin + bytes(rest)), uuid.UUID(bytes=begin + b"\xff" * rest)


def _drawn(parent: uuid.UUID, place: int) -> bytes:
    return hashlib.sha256(parent.bytes + place.to_bytes(4)).digest()


def before_all_since(at_s: float) -> uuid.UUID:
    """What sorts before every id made at this Unix time or later: an id's first 48 bits are its milliseconds."""
    return uuid.UUID(int=max(0, int(at_s * 1000)) << 80)


def show(id: uuid.UUID, prefix: str = JOB) -> str:
    """The prefix and 32 hexadecimal digits."""
    return prefix + id.hex


def parse(shown: str, prefix: str = JOB) -> uuid.UUID | None:
    """The id behind `show`'s text, or None for any other text."""
    digits = shown.removeprefix(prefix)
    if len(digits) != 32 or len(shown) != len(prefix) + 32 or not digits.isascii() or not digits.isalnum():
        return None
    try:
        return uuid.UUID(hex=digits)
    except ValueError:
        return None
