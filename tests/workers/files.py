"""Model files that are made for a test."""

from pathlib import Path

import gguf as library


def foreign(path: Path, architecture: str, tokenizer: str) -> Path:
    """A header as the gguf package writes it, for another kind of model."""
    writer = library.GGUFWriter(path, architecture)
    writer.add_context_length(512)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_tokenizer_model(tokenizer)
    writer.add_token_list([b"<unk>", b"a", b"b"])
    writer.add_token_types([2, 1, 1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
