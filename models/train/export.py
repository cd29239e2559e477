"""Writes a checkpoint as a GGUF file of the architecture `llama`, matrices as Q8_0."""

from pathlib import Path

import gguf
import torch
from gguf import GGMLQuantizationType
from torch import Tensor

from . import network, tokenizer
from .network import Shape
from .tokenizer import Tokenizer

CONTEXT = 512
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] }}\n"
    "{% elif m['role'] == 'user' %}User: {{ m['content'] }}\n"
    "{% elif m['role'] == 'assistant' %}Assistant: {{ m['content'] }}{{ eos_token }}\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
# The same file for the same weights, and no half file for a worker that loads at the wrong moment.
UNFINISHED = ".new"


def write(checkpoint: Path, tokens: Tokenizer, file: Path) -> None:
    kept = torch.load(checkpoint, weights_only=True)
    shape = Shape(**kept["shape"])
    unfinished = file.with_suffix(UNFINISHED)
    writer = gguf.GGUFWriter(unfinished, "llama")
    describe(writer, shape)
    describe_vocabulary(writer, tokens)
    for name, value in tensors(kept["network"], shape).items():
        put(writer, f"{name}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(file)


def describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("forebay-demo")
    writer.add_license("MIT")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(network.EPSILON)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(network.ROPE_BASE)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_chat_template(CHAT_TEMPLATE)


def describe_vocabulary(writer: gguf.GGUFWriter, tokens: Tokenizer) -> None:
    pieces = tokens.pieces
    count = pieces.get_piece_size()
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([pieces.id_to_piece(one).encode() for one in range(count)])
    writer.add_token_scores([pieces.get_score(one) for one in range(count)])
    writer.add_token_types([kind(tokens, one) for one in range(count)])
    writer.add_bos_token_id(tokenizer.BOS)
    writer.add_eos_token_id(tokenizer.EOS)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)


def kind(tokens: Tokenizer, one: int) -> gguf.TokenType:
    """Signs count as normal: no longer piece has one in it, and older engines split a text at no other kind."""
    pieces = tokens.pieces
    if pieces.is_unknown(one):
        return gguf.TokenType.UNKNOWN
    if pieces.is_control(one):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if pieces.is_byte(one) else gguf.TokenType.NORMAL


def tensors(weights: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """By their GGUF names; the output matrix is the embedding once more."""
    found = {"token_embd": weights["embedding"], "output": weights["embedding"], "output_norm": weights["norm"]}
    for layer in range(shape.layers):
        own = {name: weights[f"blocks.{layer}.{name}"] for name in ("attn_norm", "attn_output", "ffn_norm", "ffn_down")}
        own["attn_q"], own["attn_k"], own["attn_v"] = weights[f"blocks.{layer}.attn_qkv"].chunk(3)
        own["ffn_gate"], own["ffn_up"] = weights[f"blocks.{layer}.ffn_gate_up"].chunk(2)
        found |= {f"blk.{layer}.{name}": value for name, value in own.items()}
    return found


def put(writer: gguf.GGUFWriter, name: str, value: Tensor) -> None:
    values = value.float().contiguous().numpy()
    if values.ndim == 1:
        writer.add_tensor(name, values)
    else:
        quantised = gguf.quants.quantize(values, GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, quantised, raw_dtype=GGMLQuantizationType.Q8_0)
