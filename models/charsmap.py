"""Replacements of characters in the form in which SentencePiece and llama.cpp keep them: a trie in one array.

The array is Darts-clone's (github.com/s-yata/darts-clone): a node's children stand at its base, exclusive-or their
byte, so that a look-up is a few array reads. llama.cpp reads it in `llm_tokenizer_ugm` (src/llama-vocab.cpp).
"""

import struct
from collections import deque
from collections.abc import Mapping

_BLOCK = 256
_IS_VALUE = 1 << 31
_HAS_VALUE = 1 << 8
_BASE_SHIFT = 10
_BASE_LIMIT = 1 << 21
_LOOKED_BACK = 2 * _BLOCK  # beyond, nearly all is taken

Node = dict[int, "Node"]


def pack(replacements: Mapping[str, str]) -> bytes:
    """The length of the array, the array, and the replacements, each with a zero byte after it. Deterministic.

    Neither keys nor replacements have a zero byte in them, and no key is empty.
    """
    texts: dict[str, int] = {}
    told = bytearray()
    for text in sorted(set(replacements.values())):
        texts[text] = len(told)
        told += text.encode() + b"\0"
    units = _units({key.encode(): texts[text] for key, text in replacements.items()})
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + bytes(told)


def _units(values: Mapping[bytes, int]) -> list[int]:
    trie: Node = {}
    for key in sorted(values):
        node = trie
        for byte in key:
            node = node.setdefault(byte, {})
    units, bases = [0] * _BLOCK, _Bases()
    waiting = deque([(0, b"", trie)])
    while waiting:
        place, key, node = waiting.popleft()
        labels = [*([0] if key in values else []), *node]
        base = bases.take(labels)
        units += [0] * (max(0, (base | (_BLOCK - 1)) + 1 - len(units)))
        if place ^ base >= _BASE_LIMIT:
            raise ValueError("too many replacements for the array's form")
        units[place] |= (place ^ base) << _BASE_SHIFT
        if key in values:
            units[place] |= _HAS_VALUE
            units[base] = values[key] | _IS_VALUE
        for label, child in node.items():
            units[base ^ label] = label
            waiting.append((base ^ label, key + bytes([label]), child))
    return units


class _Bases:
    """Which places are taken. Two nodes never share a base, for a child is known by its byte alone."""

    def __init__(self) -> None:
        self._taken = {0}  # the root
        self._bases = {0}
        self._top = 0

    def take(self, labels: list[int]) -> int:
        """A base at which all these bytes are free; they are taken. Far behind the last one it isn't looked for."""
        base = max(1, self._top - _LOOKED_BACK)
        while base in self._bases or any(base ^ label in self._taken for label in labels):
            base += 1
        self._bases.add(base)
        self._top = max(self._top, base)
        self._taken.update(base ^ label for label in labels)
        return base
