"""Whether a model file runs here: `python -m workers.engines.check`, which says so in one line of JSON on stdout.

    FILE [TEMPLATE]                              what its header says, or what is wrong with it, or with the chat
                                                 template: the file's own, or another
    FILE ENGINE CONTEXT SLOTS THREADS [BINARY]   whether that engine loads it and answers

A process of its own, started for one question: who asks kills it and its engine host when it takes too long.
"""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Delta, Embedder, Engine, Finish, Generator, Params, Request, Reranker
from workers.engines import gguf, llamacpp_fit, loading, templates, vocabulary

_RANK = 4  # llama.cpp's LLAMA_POOLING_TYPE_RANK
_TOKENS = 16
_PARAMS = Params(
    max_tokens=_TOKENS, temperature=0.0, top_p=1.0, top_k=0, min_p=0.0, repetition_penalty=1.0, stop=(), seed=0
)


def main(argv: list[str]) -> None:
    """Prints the answer; a file or an engine that won't do is an answer too."""
    # Libraries and logs print to file descriptor 1; the answer has it to itself.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    path = Path(argv[0])
    try:
        told = _header(path, *argv[1:]) if len(argv) <= 2 else _trial(path, *argv[1:])
    except errors.ForebayError as error:
        told = {"error": str(error)}
    print(json.dumps(told), file=answers, flush=True)


def _header(path: Path, template: str | None = None) -> dict[str, Any]:
    weights = llamacpp_fit.read(path)
    header = weights.header
    _, problem = templates.compiled(_read(Path(template)) if template else header.template, "", "")
    return {
        "file_bytes": weights.bytes,
        "architecture": header.architecture,
        "name": header.text("general.name"),
        "tokenizer": header.tokenizer,
        "parameters": header.parameters,
        "quantization": header.quantization,
        "context": header.size("context_length"),
        "embeds": _embeds(header) and not _reranks(header),
        "reranks": _reranks(header),
        "infills": vocabulary.between(header) is not None,
        "template": problem is None,
        "template_problem": problem,
        "cache_bytes_per_token": header.cache_bytes(1),
    }


def _read(template: Path) -> str:
    try:
        return template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.EngineUnusable(f"the template {template}: {error}") from error


def _embeds(header: gguf.Header) -> bool:
    """Whether it is made for vectors: its header says how those of tokens are pooled, or that each sees them all."""
    pooling, causal = (f"{header.architecture}.{name}" for name in ("pooling_type", "attention.causal"))
    return bool(header.whole(pooling)) or not header.flag(causal, True)


def _reranks(header: gguf.Header) -> bool:
    """Whether it is made to read a query and a document together: its header says that it is pooled to a rank."""
    return header.whole(f"{header.architecture}.pooling_type") == _RANK


def _trial(path: Path, engine: str, context: str, slots: str, threads: str, binary: str = "") -> dict[str, Any]:
    """Loads the model as a worker would and asks for a few tokens, or a vector."""
    options = {"binary": binary} if binary else {}
    header = gguf.read(path)
    serves, ask = (
        ("rerank", _rank) if _reranks(header) else ("embed", _embed) if _embeds(header) else ("generate", _generate)
    )
    model = Model(path.stem, engine, int(context), int(slots), (serves,), path, options=options)
    began = time.monotonic()
    loaded = loading.load(model, slots=int(slots), threads=int(threads))
    try:
        return {"load_s": round(time.monotonic() - began, 1), **ask(loaded)}
    finally:
        loaded.close()


def _embed(engine: Engine) -> dict[str, Any]:
    assert isinstance(engine, Embedder)
    ids, began = engine.tokenize(["Hello"]), time.monotonic()
    [vector] = engine.embed(ids)
    return {"dimensions": len(vector), "tokens": len(ids[0]), "took_s": round(time.monotonic() - began, 3)}


def _rank(engine: Engine) -> dict[str, Any]:
    assert isinstance(engine, Reranker)
    [pair], began = engine.pairs("Hello", ["Hello"]), time.monotonic()
    [rank] = engine.rank([pair])
    return {"rank": round(float(rank), 3), "tokens": len(pair), "took_s": round(time.monotonic() - began, 3)}


def _generate(engine: Engine) -> dict[str, Any]:
    """Raises what the engine raises, its host's death among it."""
    assert isinstance(engine, Generator)
    params = dataclasses.replace(_PARAMS, max_tokens=min(_TOKENS, engine.context - 8))
    handle = engine.generate(Request(engine.prompt("Hello"), params))
    text, tokens, began = "", 0, time.monotonic()
    try:
        while True:
            for step in handle.read(1.0):
                if isinstance(step, Delta):
                    text += step.text
                if isinstance(step, Delta | Finish):
                    tokens += step.tokens
                if isinstance(step, Finish):
                    return {"text": text, "tokens": tokens, "took_s": round(time.monotonic() - began, 3)}
    finally:
        handle.close()


if __name__ == "__main__":
    main(sys.argv[1:])
