"""Reads one document in a process of its own: `python -m workers.extraction.child`.

On stdin comes a line of JSON, the kind, the declared charset and the limits, then the document. On stdout goes a line
of JSON, then the text in UTF-8: `{"marks", "charset", "title", "warnings"}`; of an archive, `{"members", "refused"}`,
names with sizes and names with reasons, then the members; or `{"code", "message"}` of what is wrong with the document.
`unwalled` beside any of these is what `wall.close` couldn't close. All that a reader may need is imported before the
wall, which closes before the first byte of the document is read.
"""

import contextlib
import importlib
import json
import logging
import pkgutil
import resource
import signal
import sys
from importlib import machinery
from types import ModuleType
from typing import Any

from tasks import errors
from tasks.documents import kinds
from workers import wall
from workers.extraction.writing import Writer

Told = dict[str, Any]

# The module that reads each kind: `read(raw, told, writer)`, `LIBRARIES`, all of which it may want, and `prepare()`,
# which has them read what they find in files.
_READERS = {
    "text": "plain",
    "markdown": "plain",
    "rst": "plain",
    "html": "html",
    "pdf": "pdf",
    "docx": "docx",
    "pptx": "pptx",
    "xlsx": "xlsx",
    "csv": "delimited",
    "tsv": "delimited",
    "json": "structured",
    "jsonl": "structured",
    "epub": "epub",
    "eml": "mail",
    "zip": "archives",
    "tar": "archives",
}

FOR_ALL = ("encodings", "heapq")  # the latter is what `collections` imports when it is needed


def main() -> None:
    """Answers for one document."""
    told = json.loads(sys.stdin.buffer.readline())
    reader = importlib.import_module(f"workers.extraction.{_READERS[told['kind']]}")
    reader.prepare()
    _load(*FOR_ALL, *reader.LIBRARIES)
    unwalled = _bound(told)
    head, body = _read(reader, told)
    sys.stdout.buffer.write(json.dumps({**head, "unwalled": unwalled}, ensure_ascii=False).encode() + b"\n" + body)
    sys.stdout.buffer.flush()


def _load(*names: str) -> None:
    """Imports these packages and modules with all that is in them. What isn't there then can't be imported any more."""
    for name in names:
        module = importlib.import_module(name)
        for inner in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}.", onerror=lambda _: None):
            if inner.name.endswith("__main__"):  # a command: to import it is to run it
                continue
            with contextlib.suppress(ImportError):  # what wants another system, or a library that isn't installed
                importlib.import_module(inner.name)
    # Whoever tries finds it missing; behind the wall the search itself would fail, which nobody expects.
    sys.meta_path[:] = [machinery.BuiltinImporter]


def _bound(told: Told) -> list[str]:
    """Takes from this process what reading a document doesn't need; what it couldn't."""
    if sys.platform != "darwin":  # macOS refuses any such limit (EINVAL)
        resource.setrlimit(resource.RLIMIT_AS, (told["memory_bytes"], told["memory_bytes"]))
    resource.setrlimit(resource.RLIMIT_CPU, (told["cpu_s"], told["cpu_s"] + 1))
    signal.alarm(int(told["wall_s"]) + 5)  # for a parent that can't end us any more
    logging.disable()
    wall.give_way()
    return wall.close()


def _read(reader: ModuleType, told: Told) -> tuple[Told, bytes]:
    """The answer's head and what follows it."""
    try:
        return _answer(reader, sys.stdin.buffer.read(), told)
    except errors.JobError as error:
        return {"code": error.code, "message": str(error)}, b""
    except MemoryError:
        message = f"it couldn't be read with {told['memory_bytes'] >> 20} MiB of memory"
    except RecursionError:
        message = f"it can't be read as {told['kind']}: what is in it is nested too deep"
    except Exception as error:  # noqa: BLE001 - there is no end to what the libraries raise for damaged files
        reason = " ".join(str(error).split())[:200]
        message = f"it can't be read as {told['kind']}: {reason or type(error).__name__}"
    return {"code": errors.UnreadableDocument.code, "message": message}, b""


def _answer(reader: ModuleType, raw: bytes, told: Told) -> tuple[Told, bytes]:
    if told["kind"] in kinds.ARCHIVES:
        head, body = reader.answer(raw, told)
        return dict(head), bytes(body)
    writer = Writer(told["characters"])
    reader.read(raw, told, writer)
    found = writer.written()
    head = {"marks": found.marks.to_json(), "charset": found.charset, "title": found.title}
    return {**head, "warnings": list(found.warnings)}, found.text.encode()


if __name__ == "__main__":
    main()
