"""Cuts long runs of one kind of character into tokens, by each pre-tokenizer of llama.cpp's.

`python -m benchmarks.tokenising [--pre tekken,qwen2]`. Prompts come from anybody, and some pre-tokenizers take a long
run apart by recursion. Each cell says how many seconds it took, and how many tokens there are or the error's code.
"""

import itertools
import json
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from benchmarks import random_gguf, tables
from benchmarks.tables import Cell, Table
from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Generator
from workers.engines import loading

# One name for each way to cut: llama.cpp, src/llama-vocab.cpp, `llama_vocab::impl::load`. Not all are in every build.
PRES = (
    "default", "minicpm5", "llama-bpe", "deepseek-llm", "deepseek-coder", "deepseek-v3", "spark2_5", "youtu", "falcon",
    "mpt", "starcoder", "gpt-2", "jais-2", "gemma4", "sarvam-moe", "roberta-bpe", "whitespace", "refact", "command-r",
    "qwen2", "qwen35", "stablelm2", "olmo", "dbrx", "smaug-bpe", "poro-chat", "chatglm-bpe", "viking", "jais", "tekken",
    "smollm", "codeshell", "bloom", "gpt3-finnish", "exaone", "exaone-moe", "chameleon", "minerva-7b", "gpt-4o",
    "granite-embed-multi-97m", "tiny_aya", "superbpe", "trillion", "granite-docling", "bailingmoe", "seed-coder",
    "hunyuan", "hunyuan-dense", "hy_v4", "joyai-llm", "kimi-k2", "ufakzeka", "grok-2", "afmoe", "laguna", "minimax-m2",
    "solar-open", "mellum2",
)  # fmt: skip
RUNS = {
    "letters": "thequickbrownfox",
    "digits": "3141592653",
    "spaces": " ",
    "punctuation": "!?.,;:-",
    "CJK": "天地玄黃宇宙洪荒",
    "emoji": "🙂🚀🌍🎉",
}
LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
CONTEXT = 1 << 20  # tokens: longer texts are refused without being counted to their end


def run(kind: str, length: int) -> str:
    """So many characters of one kind."""
    return "".join(itertools.islice(itertools.cycle(RUNS[kind]), length))


@click.command(help=__doc__)
@click.option("--pre", "pres", default=",".join(PRES), help="Which pre-tokenizers; all when not given.")
@click.option("--runs", "kinds", default=",".join(RUNS), show_default=True)
@click.option("--lengths", default=",".join(map(str, LENGTHS)), show_default=True, help="In characters.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write the table here too.")
def main(pres: str, kinds: str, lengths: str, file: Path | None) -> None:
    console = Console(width=max(160, Console().width))
    sizes = [int(length) for length in lengths.split(",")]
    console.print(f"{os.cpu_count()} cores; load before: {os.getloadavg()[0]:.1f} over the last minute")
    rows: list[tuple[Cell, ...]] = []
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder:
        for pre in pres.split(","):
            engine = _load(_model(Path(folder), pre))
            if engine is None:
                console.print(f"{pre}: not in this build")
                continue
            for kind in kinds.split(","):
                rows.append((pre, kind, *(_cell(engine, run(kind, size)) for size in sizes)))
                console.print(" | ".join(map(tables.shown, rows[-1])))
            engine.close()
    columns = ("pre-tokenizer", "a run of", *(f"{size:,}" for size in sizes))
    table = Table("How long do prompts of one kind of character take?", columns, rows, "seconds, tokens; by characters")
    tables.show(console, table)
    if file:
        file.write_text(json.dumps(asdict(table), indent=1, ensure_ascii=False))


def _model(folder: Path, pre: str) -> Model:
    file = random_gguf.write(folder / f"{pre}.gguf", random_gguf.of_bytes(random_gguf.SHAPES["tiny"], pre))
    return Model(name=pre, engine="llamacpp", context=CONTEXT, slots=1, types=("generate",), file=file)


def _load(model: Model) -> Generator | None:
    """None when llama.cpp doesn't know the pre-tokenizer."""
    try:
        return loading.load(model, slots=1, threads=1)
    except errors.EngineUnusable:
        return None


def _cell(engine: Generator, text: str) -> str:
    """What became of the text."""
    began_at = time.perf_counter()
    try:
        told = str(len(engine.prompt(text).ids))
    except errors.ForebayError as error:
        told = error.code
    return f"{time.perf_counter() - began_at:.3f} s, {told}"


if __name__ == "__main__":
    main()
