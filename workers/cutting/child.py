"""Cuts texts into chunks in a process of its own: `python -m workers.cutting.child`.

Each line on stdin is a question: `{"text", "size", "overlap", "title", "kind", "marks"}`. It is answered by
`{"pieces", "marks"}`, each piece with the fields of `Piece` in their order, or by `{"refused": why}`. Before that may
come any number of `{"count": texts}`, each of which wants a line `{"counts": tokens}`. When stdin closes, it ends.
"""

import dataclasses
import json
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.documents import chunking
from tasks.documents.chunking import About
from tasks.documents.marks import Marks
from workers import wall

MEMORY_BYTES = 1 << 30  # of address space; four million characters took less than half of it at their worst

_LOT = 256  # texts counted in one exchange, after each of which a cancelled job stops


def main() -> None:
    """Says what the wall leaves open, and answers until stdin closes."""
    sys.stdin.readline()  # the configuration, which is empty
    wall.give_way()
    if sys.platform != "darwin":  # macOS refuses any such limit (EINVAL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    _say({"unwalled": wall.close()})
    while line := sys.stdin.readline():
        _say(_answer(json.loads(line)))


def _answer(question: Mapping[str, Any]) -> dict[str, Any]:
    try:
        about = About(question["title"], question["kind"], Marks.from_json(question["marks"])).outlined(
            question["text"]
        )
        pieces = chunking.cut(question["text"], _count, question["size"], question["overlap"], about)
    except ValueError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {"refused": f"it takes more than {MEMORY_BYTES >> 20} MiB of memory"}
    return {"pieces": [dataclasses.astuple(piece) for piece in pieces], "marks": about.marks.to_json()}


def _count(texts: Sequence[str]) -> list[int]:
    counts: list[int] = []
    for start in range(0, len(texts), _LOT):
        _say({"count": texts[start : start + _LOT]})
        counts += json.loads(sys.stdin.readline())["counts"]
    return counts


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
