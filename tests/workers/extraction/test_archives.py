"""Archives: what is in them comes out under its name, and what would do harm is refused for itself."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable

import pytest

from tasks import errors
from tests.workers import office
from workers.extraction import archives, parent

GOOD = {"a.md": b"# One", "folder/b.txt": b"two", "c.tar.txt": b"three"}


def special(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def linked() -> bytes:
    """A zip with a symbolic link, as Unix writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("link.txt")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
        archive.writestr("a.txt", "x")
    return file.getvalue()


def encrypted() -> bytes:
    """A zip whose member says that it is encrypted."""
    raw = bytearray(office.zipped({"a.txt": b"x", "b.txt": b"y"}))
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    return bytes(raw)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [("zip", office.zipped(GOOD)), ("tar", office.tarred(GOOD)), ("tar", office.tarred(GOOD, "w"))],
    ids=["zip", "tar.gz", "tar"],
)
def test_members_come_out_under_their_names(kind: str, raw: bytes) -> None:
    found = parent.unpack(raw, kind)
    assert (dict(found.members), found.refused) == (GOOD, [])


def test_litter_of_systems_is_left_out_without_a_word() -> None:
    raw = office.zipped({"__MACOSX/._a.txt": b"x", "f/.DS_Store": b"x", "f/": b"", "f/a.txt": b"x", "f/._b.md": b"x"})
    found = parent.unpack(raw, "zip")
    assert (found.members, found.refused) == ([("f/a.txt", b"x")], [])


REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "path above": ("zip", lambda: office.zipped({"../../a.txt": b"x"}), "leads out"),
    "path from the root": ("zip", lambda: office.zipped({"/etc/a.txt": b"x"}), "leads out"),
    "path with a drive": ("zip", lambda: office.zipped({"C:\\a.txt": b"x"}), "leads out"),
    "path above in a tar": ("tar", lambda: office.tarred({"a/../../b.txt": b"x"}), "leads out"),
    "archive in an archive": ("zip", lambda: office.zipped({"a.zip": office.zipped({"b.txt": b"x"})}), "archive in"),
    "another kind": ("zip", lambda: office.zipped({"a.exe": b"x"}), "must end in"),
    "empty": ("zip", lambda: office.zipped({"a.txt": b""}), "empty"),
    "bomb": ("zip", lambda: office.zipped({"a.txt": bytes(9_000_000)}), "200 times"),
    "large": ("zip", lambda: office.zipped({"a.txt": bytes(40_000_000)}, zipfile.ZIP_STORED), "32 MiB"),
    "encrypted": ("zip", encrypted, "encrypted"),
    "link": ("zip", linked, "link or a device"),
    "symbolic link in a tar": ("tar", lambda: office.tarred({}, "w", special("a.txt", tarfile.SYMTYPE)), "link"),
    "hard link in a tar": ("tar", lambda: office.tarred({}, "w", special("a.txt", tarfile.LNKTYPE)), "link"),
    "device in a tar": ("tar", lambda: office.tarred({}, "w", special("a.txt", tarfile.CHRTYPE)), "device"),
    "pipe in a tar": ("tar", lambda: office.tarred({}, "w", special("a.txt", tarfile.FIFOTYPE)), "device"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_member_that_would_do_harm_is_refused_alone(name: str) -> None:
    kind, make, reason = REFUSED[name]
    found = parent.unpack(make(), kind)
    assert len(found.refused) == 1
    assert reason in found.refused[0][1]
    assert len(found.members) <= 1


def test_damaged_member_is_refused_alone() -> None:
    raw = bytearray(office.zipped({"a.txt": b"one" * 99, "b.txt": b"two"}, zipfile.ZIP_STORED))
    raw[60] ^= 0xFF
    found = parent.unpack(bytes(raw), "zip")
    assert ([name for name, _ in found.refused], found.members) == (["a.txt"], [("b.txt", b"two")])


@pytest.mark.parametrize("packed", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_member_is_refused_alone_however_it_is_packed(packed: int) -> None:
    """What comes after it in a zip is read."""
    words = " ".join(f"word{number * number}" for number in range(300)).encode()
    raw = bytearray(office.zipped({"a.txt": b"one", "b.txt": words, "c.txt": b"three"}, packed))
    at = raw.index(b"b.txt") + 5
    raw[at + 8 : at + 60] = b"\xff" * 52
    found = parent.unpack(bytes(raw), "zip")
    assert [name for name, _ in found.refused] == ["b.txt"]
    assert found.members == [("a.txt", b"one"), ("c.txt", b"three")]


def test_members_are_told_apart_by_their_whole_names() -> None:
    """A path that is too long is none that could be cut: two would get one name. Of equal ones the first is read."""
    deep = "deep/" * 45
    raw = office.tarred({f"one/{deep}a.txt": b"1", f"two/{deep}a.txt": b"2", "b.txt": b"3"}, "w")
    found = parent.unpack(raw, "tar")
    assert found.members == [("b.txt", b"3")]
    assert [reason for _, reason in found.refused] == ["its path has more than 200 characters"] * 2
    twice = io.BytesIO()
    with tarfile.open(fileobj=twice, mode="w") as archive:
        for word in (b"one", b"two"):
            info = tarfile.TarInfo("a.txt")
            info.size = len(word)
            archive.addfile(info, io.BytesIO(word))
    found = parent.unpack(twice.getvalue(), "tar")
    assert (found.members, found.refused) == ([("a.txt", b"one")], [("a.txt", "another member has its name")])


def test_what_comes_before_the_damage_is_kept() -> None:
    """A tar that was cut off gives its first members."""
    raw = office.tarred({"a.txt": b"x" * 600, "b.txt": b"y" * 600}, "w")
    found = parent.unpack(raw[:2_200], "tar")
    assert ([name for name, _ in found.members], len(found.refused)) == (["a.txt"], 1)


def test_all_members_together_are_bounded() -> None:
    members = {f"{number}.txt": bytes([65 + number]) * (20 << 20) for number in range(6)}
    found = archives.unpack(office.zipped(members, zipfile.ZIP_STORED), "zip")
    assert (len(found.members), len(found.refused)) == (4, 2)
    assert found.size <= archives.MOST_BYTES


@pytest.mark.parametrize(
    ("kind", "make", "error"),
    [
        ("zip", lambda: b"", errors.UnreadableDocument),
        ("zip", lambda: b"PK\x05\x06" + bytes(18), errors.UnreadableDocument),
        ("zip", lambda: office.zipped(GOOD)[:60], errors.UnreadableDocument),
        ("tar", lambda: b"", errors.UnreadableDocument),
        ("tar", lambda: bytes(10_240), errors.UnreadableDocument),
        ("tar", lambda: b"\x1f\x8b" + bytes(99), errors.UnreadableDocument),
        ("tar", lambda: gzip.compress(bytes(300 << 20)), errors.DocumentTooLarge),
        ("zip", lambda: office.zipped({f"{number}.txt": b"x" for number in range(1_001)}), errors.DocumentTooLarge),
    ],
    ids=["nothing", "no members", "cut off", "empty tar", "zeros", "no gzip", "gzip bomb", "members without end"],
)
def test_archive_that_gives_nothing_is_named(
    kind: str, make: Callable[[], bytes], error: type[errors.JobError]
) -> None:
    with pytest.raises(error):
        parent.unpack(make(), kind)
