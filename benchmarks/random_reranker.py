"""Writes a cross-encoder with random weights: nonsense as a judge, the true arithmetic to check and to time.

    python -m benchmarks.random_reranker FILE

The file is of llama.cpp's architecture `bert` with the head of Hugging Face's `BertForSequenceClassification` (one
label): the first token's last state, `tanh` of a dense layer, one number. `score` computes it in NumPy.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CLS, SEP = CONTROL.index("[CLS]"), CONTROL.index("[SEP]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-:;"
_EPSILON = 1e-12

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a cross-encoder: widths in numbers, `context` in tokens."""

    width: int = 64
    layers: int = 2
    feed_forward: int = 128
    heads: int = 2
    context: int = 128


def words() -> list[str]:
    """The vocabulary: letters, as the beginning of a word and within one, in BERT's spelling."""
    return [*CONTROL, *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]


def weights(shape: Shape = Shape(), seed: int = 0) -> dict[str, Array]:
    """All tensors by their names in the file; the same shape and seed give the same."""
    random = np.random.default_rng(seed)

    def some(*size: int, spread: float | None = None) -> Array:
        return random.normal(0, spread or 1 / math.sqrt(size[-1]), size).astype(np.float32)

    width, wide = shape.width, shape.feed_forward
    found = {
        "token_embd.weight": some(len(words()), width, spread=1.0),
        "position_embd.weight": some(shape.context, width, spread=0.5),
        "token_types.weight": some(2, width, spread=0.5),
    }
    found |= _norm("token_embd_norm", width)
    for layer in range(shape.layers):
        sizes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (width, width))
        sizes |= {"ffn_up": (wide, width), "ffn_down": (width, wide)}
        for name, size in sizes.items():
            found[f"blk.{layer}.{name}.weight"] = some(*size)
            found[f"blk.{layer}.{name}.bias"] = some(size[0], spread=0.1)
        found |= _norm(f"blk.{layer}.attn_output_norm", width) | _norm(f"blk.{layer}.layer_output_norm", width)
    found |= {"cls.weight": some(width, width), "cls.bias": some(width, spread=0.1)}
    return found | {"cls.output.weight": some(1, width, spread=0.5), "cls.output.bias": some(1, spread=0.1)}


def write(path: Path, shape: Shape = Shape(), seed: int = 0, template: str | None = None) -> Path:
    """Writes the file; the same shape and seed give the same bytes. Returns the path.

    With a `template` the file says that pairs are written by it, as those of models do that aren't cross-encoders.
    """
    writer = gguf.GGUFWriter(path, "bert")
    _describe(writer, shape)
    if template:
        writer.add_string("tokenizer.chat_template.rerank", template)
    for name, value in weights(shape, seed).items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def score(tensors: dict[str, Array], ids: list[int], heads: int = Shape().heads) -> float:
    """What the model gives a pair of these token ids, before any sigmoid (Devlin et al., arXiv 1810.04805)."""
    state = tensors["token_embd.weight"][ids] + tensors["position_embd.weight"][: len(ids)]
    # llama.cpp gives every token the first type, those of the second text too.
    state = _normed(state + tensors["token_types.weight"][0], tensors, "token_embd_norm")
    layers = sum(name.endswith("attn_q.weight") for name in tensors)
    for layer in range(layers):
        own = f"blk.{layer}."
        state = _normed(state + _attention(state, tensors, own, heads), tensors, f"{own}attn_output_norm")
        up = _dense(state, tensors, f"{own}ffn_up")
        gelu = 0.5 * up * (1 + np.vectorize(math.erf)(up / math.sqrt(2)))
        state = _normed(state + _dense(gelu, tensors, f"{own}ffn_down"), tensors, f"{own}layer_output_norm")
    return float(_dense(np.tanh(_dense(state[:1], tensors, "cls")), tensors, "cls.output")[0, 0])


def pair(query: list[int], document: list[int]) -> list[int]:
    """The ids of a pair as the model reads it."""
    return [CLS, *query, SEP, *document, SEP]


def _attention(state: Array, tensors: dict[str, Array], own: str, heads: int) -> Array:
    parts = [np.split(_dense(state, tensors, f"{own}attn_{name}"), heads, axis=1) for name in "qkv"]
    mixed = []
    for query, key, value in zip(*parts, strict=True):
        near = query @ key.T / math.sqrt(query.shape[1])
        near = np.exp(near - near.max(axis=1, keepdims=True))
        mixed.append(near / near.sum(axis=1, keepdims=True) @ value)
    return _dense(np.concatenate(mixed, axis=1), tensors, f"{own}attn_output")


def _dense(state: Array, tensors: dict[str, Array], name: str) -> Array:
    return np.asarray(state @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"])


def _norm(name: str, width: int) -> dict[str, Array]:
    return {f"{name}.weight": np.ones(width, np.float32), f"{name}.bias": np.zeros(width, np.float32)}


def _normed(state: Array, tensors: dict[str, Array], name: str) -> Array:
    centred = state - state.mean(axis=1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + _EPSILON)
    return np.asarray(scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"])


def _describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """BERT marks what continues a word (`##ing`), GGUF what begins one (`▁play`)."""
    writer.add_name("random-reranker")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(_EPSILON)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    plain = words()[len(CONTROL) :]
    writer.add_token_list([*CONTROL, *(word[2:] if word.startswith("##") else f"▁{word}" for word in plain)])
    kinds = [gguf.TokenType.CONTROL] * len(CONTROL) + [gguf.TokenType.NORMAL] * len(plain)
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(CLS)
    writer.add_eos_token_id(SEP)
    writer.add_sep_token_id(SEP)
    writer.add_unk_token_id(CONTROL.index("[UNK]"))
    writer.add_pad_token_id(CONTROL.index("[PAD]"))
    writer.add_mask_token_id(CONTROL.index("[MASK]"))
    # Which marks llama.cpp puts around a pair: BERT's, where an end stands after both texts and nothing more between.
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.add_add_sep_token(False)
    writer.add_uint32("tokenizer.ggml.cls_token_id", CLS)  # the writer has no method for this key


if __name__ == "__main__":
    write(Path(sys.argv[1]))
