"""Which models there are now: the catalogue's file, read again when it has changed."""

import threading
from pathlib import Path

import structlog

from tasks import errors
from tasks.models import catalog
from tasks.models.catalog import Catalog

log = structlog.get_logger(__name__)

_Stamp = tuple[int, int, int] | None  # what tells one version of the file from another


class Models:
    """Made once a process, which it raises `CatalogError` for when the file can't be read. Thread-safe.

    A file that becomes unreadable later, or that is wrong, leaves the models that there were, and is logged once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._models = catalog.load(path)

    def current(self) -> Catalog:
        """A snapshot: it stays as it is, so a use case sees one catalogue from its beginning to its end."""
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            with self._lock:
                if stamp != self._stamp:
                    self._read(stamp)
        return self._models

    def served(self) -> Catalog:
        """Those of `current` that jobs can ask for: an optional model whose file isn't here is left out."""
        return {name: model for name, model in self.current().items() if not model.missing}

    def _read(self, stamp: _Stamp) -> None:
        try:
            self._models = catalog.load(self._path)
        except errors.CatalogError as error:
            log.error("catalog_unreadable", error=str(error), kept=", ".join(self._models))
        else:
            log.info("catalog_read", models=", ".join(self._models))
        self._stamp = stamp


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
