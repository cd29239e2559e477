"""Whether answers fit the schemas they must have: `python -m benchmarks.schemas [HOW_MANY] [--engine NAME]`.

So many schemas that a generator makes, asked for as `response_format` of `/v1/chat/completions`, all the way through a
`forebay up`: of the demo model, whose vocabulary is SentencePiece's, by both engines, and of a model of random weights
whose vocabulary is of bytes. Exits non-zero where one answer is wrong: where it ended by itself and isn't what its
schema asks for, by the `jsonschema` library.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks import random_gguf, stacks, tables, wire
from benchmarks.stacks import Stack
from benchmarks.tables import Table
from tasks.shapes import check
from tests.support import catalogs, schemas

ENGINES = ("llamacpp", "ctransformers", "llamacpp-bytes")
CAME = VALID, CUT, REFUSED, WRONG = "valid", "cut off by length", "honest errors", "wrong"
MAX_TOKENS = 300
CONTEXT, SLOTS, CLIENTS = 512, 4, 8
_TEMPLATE = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
_ASKED = [{"role": "user", "content": "Tell me of Anna, in JSON."}]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one schema came to, and what there is to say of it where it isn't an answer."""

    seed: int
    came: str
    said: str = ""


def catalog(folder: Path) -> str:
    """A catalogue of the models, named as their engines; the file of the one is made in the folder.

    Together, since each has a thread of its own then: two threads of ctransformers' that share a busy core wait for
    each other most of the time.
    """
    file = random_gguf.write(folder / "bytes.gguf", random_gguf.of_bytes(random_gguf.SHAPES["tiny"], "qwen2"))
    template = folder / "chatml.jinja"
    template.write_text(_TEMPLATE)
    made = {"context": CONTEXT, "slots": SLOTS, "file": str(file), "template": str(template)}
    return "\n".join(
        (
            *(catalogs.demo(engine, engine) for engine in ("llamacpp", "ctransformers")),
            catalogs.model("llamacpp-bytes", "llamacpp", "generate chat", **made),
        )
    )


@contextmanager
def platform(folder: Path) -> Iterator[Stack]:
    """One that serves them, for as long as the block runs."""
    folder.mkdir(parents=True)
    with stacks.platform(folder / "forebay", catalog(folder)) as stack:
        yield stack


def ask(stack: Stack, engine: str, seeds: range) -> list[Asked]:
    """What came of each seed's schema."""
    return asyncio.run(_ask_all(stack, engine, seeds))


async def _ask_all(stack: Stack, engine: str, seeds: range) -> list[Asked]:
    left = iter(seeds)
    told = await asyncio.gather(*[_client(stack, engine, left) for _ in range(CLIENTS)])
    return [one for own in told for one in own]


async def _client(stack: Stack, engine: str, seeds: Iterator[int]) -> list[Asked]:
    reader, writer = await asyncio.open_connection(*stack.address)
    told = []
    for seed in seeds:
        schema, _ = schemas.Schemas(seed).pair()
        status, body = await wire.exchange(reader, writer, _request(stack.key, engine, schema, seed))
        told.append(_judged(seed, schema, status, json.loads(body)))
    writer.close()
    return told


def _request(key: str, engine: str, schema: Any, seed: int) -> bytes:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    asked = {"model": engine, "messages": _ASKED, "response_format": form, "max_tokens": MAX_TOKENS, "seed": seed}
    return wire.request("POST", "/v1/chat/completions", key, asked)


def _judged(seed: int, schema: Any, status: int, answer: dict[str, Any]) -> Asked:
    if status != 200:
        error = answer["error"]
        return Asked(
            seed, REFUSED if error["code"] != "internal" else WRONG, f"{status} {error['code']}: {error['message']}"
        )
    [choice] = answer["choices"]
    text = choice["message"]["content"]
    if choice["finish_reason"] == "length":
        return Asked(seed, CUT)
    try:
        fault = check.faults(schema, json.loads(text))
    except ValueError as error:
        fault = f"no JSON: {error}"
    return Asked(seed, WRONG if fault else VALID, f"{fault} in {text[:200]!r}" if fault else "")


@click.command(help=__doc__)
@click.argument("how_many", default=1000)
@click.option("--engine", "engines", type=click.Choice(ENGINES), multiple=True, default=ENGINES)
@click.option("--first", default=0, show_default=True, help="The first seed.")
def main(how_many: int, engines: tuple[str, ...], first: int) -> None:
    console = Console(width=max(140, Console().width))
    rows, wrong = [], 0
    with tempfile.TemporaryDirectory(prefix="forebay-bench-") as folder, platform(Path(folder) / "all") as stack:
        for engine in engines:
            began_at = time.monotonic()
            told = ask(stack, engine, range(first, first + how_many))
            counts = Counter(one.came for one in told)
            rows.append((engine, *(counts[came] for came in CAME), time.monotonic() - began_at))
            wrong += counts[WRONG]
            for one in told:
                if one.said:
                    console.print(f"{engine}: seed {one.seed}: {one.said[:300]}", markup=False)
    tables.show(console, Table(f"{how_many} schemas", ("", *CAME, "seconds"), rows))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
