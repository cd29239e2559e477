"""Vectors as OpenAI tells them."""

import base64

import numpy as np
from numpy.typing import NDArray

from dialects.openai.answers import EmbeddingList, EmbeddingRow
from tasks.jobs.view import JobView


def embeddings(job: JobView, vectors: NDArray[np.float32], encoding_format: str, size: int | None) -> EmbeddingList:
    """The vectors (n, d) of an ended job, cut to `size` and made of length 1 again where that is less than d."""
    if size is not None and size < vectors.shape[1]:
        vectors = vectors[:, :size]
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    used = job.spent.prompt + job.spent.embedding
    return {
        "object": "list",
        "data": [_row(index, row, encoding_format) for index, row in enumerate(rows)],
        "model": job.model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _row(index: int, row: NDArray[np.float32], encoding_format: str) -> EmbeddingRow:
    told = base64.b64encode(row.tobytes()).decode() if encoding_format == "base64" else row
    return {"object": "embedding", "index": index, "embedding": told}
