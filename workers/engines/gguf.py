"""What a GGUF file's header says, read without trusting it.

Format: ggml's docs/gguf.md; block sizes: ggml/src/ggml.c. A reader of our own, because the `gguf` package's is for
files one has made oneself: it believes every count, follows nested arrays as deep as they go and maps the file, so
that a damaged one costs minutes, gigabytes or the process. Here nothing is allocated by a number from the file
before that many bytes are known to be there, and every count has a limit. Of the weights nothing is read.
"""

import os
import stat
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

from tasks import errors

Scalar = int | float | bool | str
Item = TypeVar("Item", bytes, int)

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY, FLOAT32, INT32 = 8, 9, 6, 5
_KEPT = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type")  # arrays whose items somebody needs

_HEADER_LIMIT = 256 << 20  # bytes; the largest vocabularies take some twenty million
_STRING_LIMIT = 4 << 20
_KEYS_LIMIT = _TENSORS_LIMIT = 1 << 16
_ITEMS_LIMIT = 4 << 20  # strings in all arrays together
_TENSOR_LIMIT = 1 << 48  # bytes
_ALIGNMENT_LIMIT = 1 << 16

# number: name, weights in a block, bytes of a block
_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    30: ("BF16", 1, 2),
    28: ("F64", 1, 8),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}


@dataclass(frozen=True, slots=True)
class Array:
    """An array's item type and length; its items only where somebody needs them."""

    kind: int
    count: int
    items: tuple[bytes, ...] | tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies. `bytes` is 0 when its type is one we don't know."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    bytes: int

    @property
    def weights(self) -> int:
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def type_name(self) -> str:
        return _TYPES[self.kind][0] if self.kind in _TYPES else f"type {self.kind}"


@dataclass(frozen=True, slots=True)
class Header:
    """A header whose every number has been held against the file's length. None where it doesn't say."""

    version: int
    values: dict[str, Scalar]
    arrays: dict[str, Array]
    tensors: tuple[Tensor, ...]
    file_bytes: int

    @property
    def architecture(self) -> str:
        return self.text("general.architecture") or "?"

    @property
    def tokenizer(self) -> str:
        return self.text("tokenizer.ggml.model") or "none"

    @property
    def template(self) -> str | None:
        return self.text("tokenizer.chat_template")

    @property
    def recurrent(self) -> bool:
        """Whether what it has evaluated is a state from which no token can be taken back, in some of its layers."""
        return any(part in key for key in self.values for part in (".ssm.", ".wkv.", ".shortconv."))

    @property
    def parameters(self) -> int:
        return sum(tensor.weights for tensor in self.tensors)

    @property
    def quantization(self) -> str:
        """The type of most of the weights."""
        weights: Counter[str] = Counter()
        for tensor in self.tensors:
            weights[tensor.type_name] += tensor.weights
        return weights.most_common(1)[0][0] if weights else "none"

    def items(self, key: str, kind: type[Item]) -> list[Item]:
        """The items of one of the arrays that are kept; none when the file has no such array of that type."""
        array = self.arrays.get(key)
        return [item for item in array.items if isinstance(item, kind)] if array else []

    def size(self, name: str) -> int | None:
        """One of the architecture's own sizes, as in `context_length`."""
        return self.whole(f"{self.architecture}.{name}")

    def whole(self, key: str) -> int | None:
        value = self.values.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 31 else None

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key, default)
        return value if isinstance(value, bool) else default

    def cache_bytes(self, context: int) -> int:
        """Keys and values of so many tokens, two bytes a number: llama.cpp's cache in F16."""
        heads = self.size("attention.head_count") or 1
        kv_heads = self.size("attention.head_count_kv") or heads
        width = self.size("embedding_length") or 0
        key = self.size("attention.key_length") or width // heads
        value = self.size("attention.value_length") or width // heads
        return 2 * context * (self.size("block_count") or 0) * kv_heads * (key + value)


def read(path: Path) -> Header:
    """Reads and checks the header. Raises `EngineUnusable` saying what is wrong with the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe must not make us wait
        with open(descriptor, "rb", buffering=1 << 20) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _Damaged("not a file")
            return _Reader(file, os.fstat(descriptor).st_size).header()
    except (OSError, _Damaged) as error:
        raise errors.EngineUnusable(f"{path}: {error}") from error


class _Damaged(Exception):
    """What is wrong with a file."""


@dataclass(slots=True)
class _Reader:
    """Reads forwards only. `at` is where it is, `size` how long the file is."""

    file: BinaryIO
    size: int
    at: int = 0
    strings: int = 0
    values: dict[str, Scalar] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)

    def header(self) -> Header:
        if self.size < 24 or self._take(4) != b"GGUF":
            raise _Damaged("not a GGUF file")
        version = self._number("<I")
        if version not in (2, 3):
            raise _Damaged(f"GGUF version {version}, not 2 or 3" if version & 0xFFFF else "its byte order is foreign")
        tensors, keys = self._count(_TENSORS_LIMIT, "tensors"), self._count(_KEYS_LIMIT, "keys")
        for _ in range(keys):
            self._key()
        found = [self._tensor() for _ in range(tensors)]
        if len({tensor.name for tensor in found}) < tensors:
            raise _Damaged("two tensors have the same name")
        self._check_places(found)
        return Header(version, self.values, self.arrays, tuple(found), self.size)

    def _key(self) -> None:
        key = self._string(1 << 16).decode("utf-8", "replace")
        if key in self.values or key in self.arrays:
            raise _Damaged(f"the key {key[:80]!r} comes twice")
        kind = self._number("<I")
        if kind == ARRAY:
            self.arrays[key] = self._array(key in _KEPT)
        else:
            self.values[key] = self._value(kind)

    def _value(self, kind: int) -> Scalar:
        if kind == STRING:
            return self._string(_STRING_LIMIT).decode("utf-8", "replace")
        if kind not in _SCALARS:
            raise _Damaged(f"unknown value type {kind}")
        [value] = struct.unpack(_SCALARS[kind], self._take(struct.calcsize(_SCALARS[kind])))
        return value  # type: ignore[no-any-return]

    def _array(self, kept: bool) -> Array:
        kind, count = self._number("<I"), self._number("<Q")
        if kind == STRING:
            return Array(kind, count, self._strings(count, kept))
        if kind not in _SCALARS:
            raise _Damaged("an array of arrays" if kind == ARRAY else f"unknown item type {kind}")
        each = struct.calcsize(_SCALARS[kind])
        data = self._take(count * each)
        if not kept or kind != INT32:
            return Array(kind, count)
        return Array(kind, count, struct.unpack(f"<{count}i", data))

    def _strings(self, count: int, kept: bool) -> tuple[bytes, ...]:
        self.strings += count
        if self.strings > _ITEMS_LIMIT:
            raise _Damaged(f"more than {_ITEMS_LIMIT} strings in arrays")
        items = (self._string(_STRING_LIMIT) for _ in range(count))
        return tuple(items) if kept else _none_of(items)

    def _tensor(self) -> Tensor:
        name = self._string(1 << 10).decode("utf-8", "replace")
        dimensions = self._number("<I")
        if not 1 <= dimensions <= 4:
            raise _Damaged(f"the tensor {name[:80]!r} has {dimensions} dimensions")
        shape = struct.unpack(f"<{dimensions}Q", self._take(8 * dimensions))
        kind, offset = self._number("<I"), self._number("<Q")
        tensor = Tensor(name, shape, kind, offset, _bytes(shape, kind))
        if min(shape) == 0 or tensor.bytes < 0 or tensor.weights > _TENSOR_LIMIT:
            raise _Damaged(f"the tensor {name[:80]!r} has the impossible shape {list(shape)} of {tensor.type_name}")
        return tensor

    def _check_places(self, tensors: list[Tensor]) -> None:
        """Whether each tensor lies wholly in the file, and where it may."""
        alignment = self.values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 8 <= alignment <= _ALIGNMENT_LIMIT or alignment & (alignment - 1):
            raise _Damaged(f"an alignment of {str(alignment)[:40]}")
        start = -(-self.at // alignment) * alignment
        needed = max((start + tensor.offset + tensor.bytes for tensor in tensors), default=0)
        if needed > self.size:
            raise _Damaged(f"it is cut off: {self.size} bytes, of {needed} that its tensors need")
        for tensor in tensors:
            if tensor.offset % alignment:
                raise _Damaged(f"the tensor {tensor.name[:80]!r} begins between two boundaries of {alignment}")

    def _count(self, limit: int, of: str) -> int:
        count = self._number("<Q")
        if count > limit:
            raise _Damaged(f"it claims {count} {of}")
        return count

    def _string(self, limit: int) -> bytes:
        length = self._number("<Q")
        if length > limit:
            raise _Damaged(f"it claims a string of {length} bytes")
        return self._take(length)

    def _number(self, layout: str) -> int:
        [number] = struct.unpack(layout, self._take(struct.calcsize(layout)))
        return int(number)

    def _take(self, count: int) -> bytes:
        self.at += count
        if self.at > self.size:
            raise _Damaged("it is cut off within its header")
        if self.at > _HEADER_LIMIT:
            raise _Damaged(f"its header is longer than {_HEADER_LIMIT >> 20} MiB")
        taken = self.file.read(count)
        if len(taken) < count:
            raise _Damaged("it was cut off while it was read")
        return taken


def _bytes(shape: tuple[int, ...], kind: int) -> int:
    """The length of such a tensor; -1 when its rows aren't whole blocks."""
    if kind not in _TYPES:
        return 0
    _, block, each = _TYPES[kind]
    length = -1 if shape[0] % block else shape[0] // block * each
    for further in shape[1:]:
        length *= further
    return length if shape[0] % block == 0 else -1


def _none_of(items: Iterable[bytes]) -> tuple[bytes, ...]:
    for _ in items:
        pass
    return ()
