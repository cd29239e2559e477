"""Reads one document in a process of its own: `python -m workers.extraction.child`.

On stdin comes a line of JSON, the kind and the limits, then the document. On stdout goes a line of JSON, then the
text in UTF-8: `{"left_out": pages, "marks"}`, or `{"code", "message"}` of what is wrong with the document; `unwalled`
beside either is what `wall.close` couldn't close. All that a reader may need is imported before the wall, which closes
before the first byte of the document is read.
"""

import contextlib
import importlib
import io
import json
import logging
import pkgutil
import re
import resource
import signal
import sys
from collections.abc import Callable
from importlib import machinery
from typing import Any

from tasks import errors
from tasks.documents.marks import Marks
from workers import wall
from workers.extraction import plaintext

Told = dict[str, Any]
_Reader = Callable[[bytes, Told], tuple[str, int]]

_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s{0,9}=\s{0,9}["']?\s{0,9}(?!utf-?8)[\w-]""", re.IGNORECASE)
_DECLARED_WITHIN = 1_024  # WHATWG HTML, section 4.2.5.4


def main() -> None:
    """Answers for one document."""
    told = json.loads(sys.stdin.buffer.readline())
    read = _READERS[told["kind"]]
    _load(*_LIBRARIES[told["kind"]])
    unwalled = _bound(told)
    head, text = _read(read, told)
    sys.stdout.buffer.write(json.dumps({**head, "unwalled": unwalled}).encode() + b"\n" + text.encode())
    sys.stdout.buffer.flush()


def _load(*names: str) -> None:
    """Imports these packages and modules with all that is in them. What isn't there then can't be imported any more."""
    for name in names:
        module = importlib.import_module(name)
        for inner in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}.", onerror=lambda _: None):
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
    return wall.close()


def _read(read: _Reader, told: Told) -> tuple[Told, str]:
    """The answer's head and its text."""
    try:
        text, left_out = read(sys.stdin.buffer.read(), told)
        if len(text) > told["characters"]:
            raise errors.DocumentTooLarge(f"it has more than {told['characters']} characters of text")
        return {"left_out": left_out, "marks": Marks().to_json()}, plaintext.tidy(text)
    except errors.JobError as error:
        return {"code": error.code, "message": str(error)}, ""
    except MemoryError:
        message = f"it couldn't be read with {told['memory_bytes'] >> 20} MiB of memory"
    except Exception as error:  # noqa: BLE001 - there is no end to what the libraries raise for damaged files
        message = _damaged(told["kind"], error)
    return {"code": errors.UnreadableDocument.code, "message": message}, ""


def _damaged(kind: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    return f"it can't be read as {kind}: {reason or type(error).__name__}"


def _read_text(raw: bytes, told: Told) -> tuple[str, int]:  # noqa: ARG001 - a reader's signature
    return plaintext.decode(raw), 0


def _read_html(raw: bytes, told: Told) -> tuple[str, int]:
    from workers.extraction import html  # its library would be loaded for every kind

    if not _is_utf8(raw) and _DECLARED.search(raw, 0, _DECLARED_WITHIN):
        return html.from_declared(raw, told["characters"]), 0
    return html.from_text(plaintext.decode(raw), told["characters"]), 0


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_pdf(raw: bytes, told: Told) -> tuple[str, int]:
    """The text of the pages, and how many had to be left out because only they can't be read."""
    import pypdf

    pypdf.overwrite_configuration(jbig2dec_binary=None)
    reader = pypdf.PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and not _unlocked(reader):
        raise errors.UnreadableDocument("it is encrypted")
    pages = len(reader.pages)
    if pages > told["pages"]:
        raise errors.DocumentTooLarge(f"it has {pages} pages, more than {told['pages']}")
    texts: list[str] = []
    damages: list[Exception] = []
    characters = 0
    for page in reader.pages:
        try:
            texts.append(page.extract_text())
        except Exception as error:  # noqa: BLE001 - as in `main`; the other pages may be whole
            damages.append(error)
            continue
        characters += len(texts[-1])
        if characters > told["characters"]:
            raise errors.DocumentTooLarge(f"it has more than {told['characters']} characters of text")
    text = "\n\n".join(texts)
    if not text.strip():
        raise errors.UnreadableDocument(
            _damaged("pdf", damages[0]) if damages else "its pages hold no text; scanned ones are images"
        )
    return text, len(damages)


def _unlocked(reader: Any) -> bool:
    """Whether the document opens without a password, as those that only forbid printing do."""
    from pypdf.errors import DependencyError

    try:
        return bool(reader.decrypt(""))
    except (DependencyError, NotImplementedError):  # a cipher that would need another library
        return False


_READERS: dict[str, _Reader] = {"text": _read_text, "markdown": _read_text, "html": _read_html, "pdf": _read_pdf}
_CHARSETS = ("encodings", "charset_normalizer")
_LIBRARIES = {
    "text": _CHARSETS,
    "markdown": _CHARSETS,
    "html": (*_CHARSETS, "workers.extraction.html"),
    "pdf": ("encodings", "pypdf"),
}

if __name__ == "__main__":
    main()
