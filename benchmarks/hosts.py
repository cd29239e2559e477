"""The engine host by itself: the very process a worker starts, without a worker."""

import os
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.clients import Direct
from tasks.models.catalog import Model
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp


@dataclass(frozen=True, slots=True)
class Host:
    """One that runs: how to ask it, and its process."""

    client: Direct
    process: psutil.Process


@contextmanager
def host(file: Path, *, slots: int, context: int, threads: int = 0) -> Iterator[Host]:
    """The model, loaded with a worker's settings, for as long as the block runs; on all cores unless told otherwise."""
    model = Model(name="direct", engine="llamacpp", context=context, slots=slots, types=("generate",), file=file)
    with _running(model, threads) as host:
        yield host


@contextmanager
def embedding_host(file: Path, *, context: int, threads: int = 0) -> Iterator[Host]:
    """A host for a model that embeds."""
    model = Model(name="direct", engine="llamacpp", context=context, slots=1, types=("embed",), file=file)
    with _running(model, threads) as host:
        yield host


@contextmanager
def _running(model: Model, threads: int) -> Iterator[Host]:
    engine = loading.load(model, slots=model.slots, threads=threads or os.cpu_count() or 1)
    assert isinstance(engine, LlamaCpp)
    try:
        address = urllib.parse.urlsplit(engine.host.ready["address"])
        direct = Direct((address.hostname or "", address.port or 0), engine._key)
        yield Host(direct, psutil.Process(engine.host.pid))
    finally:
        engine.close()
