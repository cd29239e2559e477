"""Which files llama.cpp can be given as a model, told from the header in words that its own error lacks."""

from dataclasses import dataclass
from pathlib import Path

from tasks import errors
from tasks.models import parts
from workers.engines import gguf
from workers.engines.gguf import Header

_ROOM_BYTES = 8 << 30


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's files: one, or the shards of a split model, and the header of the first."""

    header: Header
    files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    def address_space(self, tokens: int) -> int:
        """Bytes that a host of it may map, with a cache of so many tokens: generous, it is to end a runaway only."""
        return 4 * self.bytes + self.header.cache_bytes(tokens) + _ROOM_BYTES


def read(path: Path) -> Weights:
    """Reads the header and finds the shards. Raises `EngineUnusable` saying why the file is no model to load."""
    header = gguf.read(path)
    if reason := _unsuitable(header):
        raise errors.EngineUnusable(f"{path}: {reason}")
    return Weights(header, _shards(path, header))


def _unsuitable(header: Header) -> str | None:
    kind = header.text("general.type")
    number, count = header.whole("split.no") or 0, header.whole("split.count") or 0
    if kind == "adapter":
        return "it is an adapter (LoRA), which changes a model and is none itself"
    if kind == "mmproj" or header.architecture == "clip":
        return "it is a projector, the part of a model that sees or hears, without the model"
    if number:
        return f"it is part {number + 1} of {count} of a split model: name the first part"
    if not header.tensors and not count:
        return "it is a vocabulary only, without weights"
    return None


def _shards(path: Path, header: Header) -> tuple[Path, ...]:
    """All files of a split model, beside the first. Raises `EngineUnusable` naming one that isn't there."""
    count = header.whole("split.count") or 1
    if count == 1:
        return (path,)
    files = parts.of(path)
    if len(files) != count:
        raise errors.EngineUnusable(f"{path}: the first of {count} parts is called …-00001-of-{count:05}.gguf")
    if missing := [file.name for file in files if not file.is_file()]:
        raise errors.EngineUnusable(f"{path}: of its {count} parts {', '.join(missing[:3])} can't be found beside it")
    return files
