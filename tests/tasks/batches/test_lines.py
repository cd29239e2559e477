"""A file's lines, however it is cut into pieces."""

import tracemalloc
from collections.abc import Iterator

from hypothesis import example, given
from hypothesis import strategies as st

from tasks.batches import lines
from tasks.batches.lines import MAX_LINE_BYTES, FileLine

MARK = b"\xef\xbb\xbf"


@example([b"\xef\xbb", b"\xbf"])
@given(st.lists(st.binary(max_size=5).map(lambda raw: raw.replace(b"b", b"\n")), max_size=12))
def test_lines_are_the_same_however_the_file_is_cut(pieces: list[bytes]) -> None:
    """And each says where the next begins: read from there the rest is the same."""
    whole = b"".join(pieces)
    found = list(lines.of(pieces))
    wanted = whole.split(b"\n")
    del wanted[len(wanted) if wanted[-1] else -1 :]
    assert [line.raw for line in found] == [raw.removeprefix(MARK) if at == 0 else raw for at, raw in enumerate(wanted)]
    assert [line.number for line in found] == list(range(1, len(found) + 1))
    for line in found:
        rest = list(lines.of([whole[line.next_at :]], line.next_at, line.number))
        assert rest == found[line.number :]


def test_the_mark_before_the_first_line_is_skipped() -> None:
    """And counts where the next line begins; anywhere else it is what it is."""
    whole = MARK + b"{}\n" + MARK + b"{}\n"
    for cut in range(1, len(whole)):
        assert list(lines.of([whole[:cut], whole[cut:]])) == [FileLine(1, 6, b"{}"), FileLine(2, 12, MARK + b"{}")]
    assert list(lines.of([whole[6:]], 6, 1)) == [FileLine(2, 12, MARK + b"{}")]


def test_a_line_of_200_mb_is_told_and_never_held() -> None:
    """What comes after it is read."""

    def pieces() -> Iterator[bytes]:
        yield b"first\n"
        for _ in range(200):
            yield b"x" * 1024 * 1024
        yield b"\nlast"

    tracemalloc.start()
    found = list(lines.of(pieces()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = 200 * 1024 * 1024
    assert found == [FileLine(1, 6, b"first"), FileLine(2, size + 7, None), FileLine(3, size + 11, b"last")]
    assert peak < 4 * MAX_LINE_BYTES


def test_a_line_may_have_just_so_many_bytes() -> None:
    most, more = lines.of([b"x" * MAX_LINE_BYTES, b"\n", b"x" * MAX_LINE_BYTES, b"x"])
    assert most.raw == b"x" * MAX_LINE_BYTES
    assert more.raw is None
