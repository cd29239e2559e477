"""Model files that are made for a test."""

from collections.abc import Mapping
from pathlib import Path

import gguf as library
import numpy as np

from tasks.models.catalog import Model

TOKENS = {"<unk>": 2, "a": 1, "b": 1}


def foreign(
    path: Path, architecture: str, tokenizer: str, tokens: Mapping[str, int] = TOKENS, **keys: int | str
) -> Path:
    """A header as the gguf package writes it, without weights; `tokens` are names with their types."""
    writer = library.GGUFWriter(path, architecture)
    _describe(writer, tokenizer, tokens)
    for name, value in keys.items():
        key = name.replace("_", ".", 1)
        writer.add_string(key, value) if isinstance(value, str) else writer.add_uint16(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def with_pre_tokenizer(path: Path, name: str, architecture: str = "llama") -> Path:
    """A model of hardly any weights whose vocabulary wants that pre-tokenizer."""
    writer = library.GGUFWriter(path, architecture)
    _describe(writer, "gpt2", TOKENS)
    writer.add_tokenizer_pre(name)
    writer.add_token_merges(["a b"])
    writer.add_tensor("token_embd.weight", np.zeros((len(TOKENS), 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def without_template(origin: Path, path: Path) -> Path:
    """The model with its chat template's key called otherwise, so that nobody finds it."""
    content, key = origin.read_bytes(), b"tokenizer.chat_template"
    assert content.count(key) == 1
    path.write_bytes(content.replace(key, key[:-1] + b"_"))
    return path


def model(path: Path) -> Model:
    return Model("m", "llamacpp", context=64, slots=1, types=("generate",), file=path)


def _describe(writer: library.GGUFWriter, tokenizer: str, tokens: Mapping[str, int]) -> None:
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    writer.add_tokenizer_model(tokenizer)
    writer.add_token_list(list(tokens))
    writer.add_token_types(list(tokens.values()))


def infilling(origin: Path, path: Path, **keys: int) -> Path:
    """The model with these tokens named in its header, as in `prefix_token_id=5`."""
    reader = library.GGUFReader(origin)
    writer = library.GGUFWriter(path, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind, *of = field.types
            writer.add_key_value(name, field.contents(), kind, of[0] if of else None)
    for name, token in keys.items():
        writer.add_uint32(f"tokenizer.ggml.{name}", token)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
