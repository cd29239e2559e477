"""Writes GGUF files of the llama architecture with random weights: nonsense to read, the true arithmetic to time.

    python -m benchmarks.random_gguf FILE [tiny|small|long|tinyllama]

A shape's vocabulary is one of SentencePiece's kind, or with `pre` one of bytes and few words, for which llama.cpp cuts
a text by that pre-tokenizer before it looks for tokens. None ends an answer by itself.

Block layouts: ggml's `block_q4_0`, `block_q8_0` and `block_q6_K` (ggml/src/ggml-common.h in llama.cpp).
"""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quantization
from numpy.typing import NDArray

_BYTES = NDArray[np.uint8]
_LETTERS = "\u2581etaoinshrdlucmfwypvbgkjqxzETAOINSHRDLUCMFWYPVBGKJQXZ0123456789.,!?'\"-:;()[]{}"
_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a llama: widths in numbers, `context` in tokens. `pre` names a pre-tokenizer of llama.cpp's."""

    width: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int
    weights: Quantization
    output: Quantization
    pre: str = ""


SHAPES = {
    # Nothing to compute: for what is done to a text before.
    "tiny": Shape(64, 1, 128, 2, 2, 2048, 2048, Quantization.Q8_0, Quantization.Q8_0),
    # Some milliseconds a token: slow enough to be interrupted in the middle.
    "small": Shape(512, 8, 1408, 8, 4, 2048, 2048, Quantization.Q8_0, Quantization.Q8_0),
    # As slow, with keys and values of few bytes a token, so that a long context takes little memory.
    "long": Shape(512, 8, 1408, 8, 1, 2048, 16_384, Quantization.Q8_0, Quantization.Q8_0),
    # The shape of TinyLlama 1.1B, 637 MB.
    "tinyllama": Shape(2048, 22, 5632, 32, 4, 32000, 2048, Quantization.Q4_0, Quantization.Q6_K),
}

# What a vocabulary of bytes has beside them: words with how they are merged, and the marks of turns and of the end.
_WORDS = {"th": "t h", "the": "th e", "an": "a n", "and": "an d", "er": "e r"}
_WORDLESS = 3 + 256  # of the other kind of vocabulary the first: three marks, and bytes, which alone are no text
_MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


def of_bytes(shape: Shape, pre: str) -> Shape:
    """The shape with a vocabulary of bytes, cut by that pre-tokenizer."""
    return replace(shape, vocabulary=256 + len(_WORDS) + len(_MARKS), pre=pre)


def write(path: Path, shape: Shape, seed: int = 0) -> Path:
    """Writes the file; the same shape and seed give the same bytes. Returns the path."""
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, shape)
    (_describe_bytes if shape.pre else _describe_vocabulary)(writer, shape)
    random = np.random.default_rng(seed)
    width, feed_forward = shape.width, shape.feed_forward
    kv_width = shape.kv_heads * (width // shape.heads)
    spread, spread_down = 1 / math.sqrt(width), 1 / math.sqrt(feed_forward)
    matrices = {
        "attn_q": (width, width, spread),
        "attn_k": (kv_width, width, spread),
        "attn_v": (kv_width, width, spread),
        "attn_output": (width, width, spread),
        "ffn_gate": (feed_forward, width, spread),
        "ffn_up": (feed_forward, width, spread),
        "ffn_down": (width, feed_forward, spread_down),
    }
    _add(writer, "token_embd", _random(random, shape.vocabulary, width, 1.0, shape.weights), shape.weights)
    for layer in range(shape.layers):
        for name, (rows, columns, deviation) in matrices.items():
            weights = _random(random, rows, columns, deviation, shape.weights)
            _add(writer, f"blk.{layer}.{name}", weights, shape.weights)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(width, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    output = _random(random, shape.vocabulary, width, 3 * spread, shape.output)
    output[slice(-len(_MARKS), None) if shape.pre else slice(_WORDLESS)] = 0  # never among the likeliest
    _add(writer, "output", output, shape.output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(shape.vocabulary)


def _describe_vocabulary(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """A SentencePiece-like vocabulary of letters and made-up words, a chat template."""
    tokens = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256))]
    types = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, *[gguf.TokenType.BYTE] * 256]
    words = [*_LETTERS, *(f"\u2581w{number}" for number in range(shape.vocabulary))]
    words = words[: shape.vocabulary - len(tokens)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*tokens, *(word.encode() for word in words)])
    writer.add_token_scores([0.0] * len(tokens) + [-float(place) for place in range(len(words))])
    writer.add_token_types([*types, *[gguf.TokenType.NORMAL] * len(words)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_chat_template(_TEMPLATE)


def _describe_bytes(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """A vocabulary in which each byte is a token under the letter that GPT-2's encoder gives it."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    letters = [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
    plain = [*letters, *_WORDS]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(shape.pre)
    writer.add_token_list([*plain, *_MARKS])
    writer.add_token_types([*[gguf.TokenType.NORMAL] * len(plain), *[gguf.TokenType.CONTROL] * len(_MARKS)])
    writer.add_token_merges(list(_WORDS.values()))
    writer.add_bos_token_id(len(plain) + len(_MARKS) - 1)
    writer.add_eos_token_id(len(plain) + len(_MARKS) - 1)
    writer.add_add_bos_token(False)


def _random(random: np.random.Generator, rows: int, columns: int, deviation: float, kind: Quantization) -> _BYTES:
    """Quantised blocks of random numbers whose standard deviation is about `deviation`, as rows of bytes."""
    if kind is Quantization.Q6_K:
        blocks = rows * columns // 256
        low_and_high = random.integers(0, 256, (blocks, 192), dtype=np.uint8)
        scales = np.full((blocks, 16), 16, np.uint8)
        parts = [low_and_high, scales, _scale(blocks, deviation / (18.5 * 16))]
    elif kind is Quantization.Q8_0:
        blocks = rows * columns // 32
        numbers = random.integers(-127, 128, (blocks, 32), dtype=np.int8).view(np.uint8)
        parts = [_scale(blocks, deviation / 73), numbers]
    else:
        blocks = rows * columns // 32
        parts = [_scale(blocks, deviation / 4.6), random.integers(0, 256, (blocks, 16), dtype=np.uint8)]
    return np.ascontiguousarray(np.concatenate(parts, axis=1)).reshape(rows, -1)


def _scale(blocks: int, value: float) -> _BYTES:
    return np.full((blocks, 1), value, np.float16).view(np.uint8)


def _add(writer: gguf.GGUFWriter, name: str, weights: _BYTES, kind: Quantization) -> None:
    writer.add_tensor(f"{name}.weight", weights, raw_dtype=kind)


if __name__ == "__main__":
    write(Path(sys.argv[1]), SHAPES[sys.argv[2] if len(sys.argv) > 2 else "small"])
