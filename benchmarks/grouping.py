"""Lines of several system prompts in the order of their file, and grouped: `python -m benchmarks.grouping`.

They go straight into an engine's slots, as its worker would put them, in turn in either order. Tokens are those of
prompts and answers together, whether they were evaluated or cached.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import click
from rich.console import Console

from benchmarks import tables
from benchmarks.subjects import SUBJECTS, Subject
from benchmarks.tables import Table
from tasks.batches import grouping
from tasks.models.catalog import Model
from tasks.models.engine import Finish, Params, Prompt, Request
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp

SLOTS = 4
TOKENS = 16
_RULES = "You are the clerk of harbour {}. The table lists each tide, each depth and each ship that may leave. "
_WORDS_A_RULE = 22  # about as many tokens


@click.command(help=__doc__)
@click.option("--model", type=click.Choice(list(SUBJECTS)), default="demo", show_default=True)
@click.option("--lines", default=64, show_default=True)
@click.option("--groups", default=8, show_default=True)
@click.option("--tokens", default=600, show_default=True, help="Of a system prompt, about.")
@click.option("--rounds", default=2, show_default=True)
def main(model: str, lines: int, groups: int, tokens: int, rounds: int) -> None:
    subject, rows = SUBJECTS[model], []
    for number in range(rounds):
        asked = [(f"{number}.{line % groups}", f"How deep is it at {line} o'clock?") for line in range(lines)]
        for name, order in (("as in the file", asked), ("grouped", grouped(asked, tokens))):
            rows.append((number + 1, name, *measured(subject, order, tokens)))
    title = f"{lines} lines of {groups} system prompts in turn, {model}, {SLOTS} slots"
    tables.show(Console(width=120), Table(title, ("round", "order", "tokens/s", "cached", "seconds"), rows))


def system(name: str, tokens: int) -> str:
    return _RULES.format(name) * (tokens // _WORDS_A_RULE)


def grouped(asked: Sequence[tuple[str, str]], tokens: int) -> list[tuple[str, str]]:
    """In the order in which a batch would run them."""
    turns = [({"role": "system", "content": system(name, tokens)}, {"role": "user", "content": q}) for name, q in asked]
    ranks = grouping.ranks([grouping.key({"messages": list(each)}) for each in turns])
    return [asked[line] for line in sorted(range(len(asked)), key=ranks.__getitem__)]


def measured(subject: Subject, asked: Sequence[tuple[str, str]], tokens: int) -> tuple[float, float, float]:
    """Tokens a second, the share of prompts that was cached, and seconds; by an engine that has nothing cached."""
    model = Model("direct", "llamacpp", subject.context, SLOTS, ("generate",), subject.file, options={"batch": 128})
    engine = loading.load(model, slots=SLOTS, threads=2)
    assert isinstance(engine, LlamaCpp)
    try:
        prompts = [engine.prompt(subject.turn.format(f"{system(name, tokens)}\n\n{q}")) for name, q in asked]
        began_at = time.perf_counter()
        with ThreadPoolExecutor(SLOTS) as pool:
            ends = list(pool.map(lambda prompt: answered(engine, prompt), prompts))
        took_s = time.perf_counter() - began_at
    finally:
        engine.close()
    read = sum(len(prompt.ids) for prompt in prompts)
    return (read + TOKENS * len(asked)) / took_s, sum(end.cached for end in ends) / read, took_s


def answered(engine: LlamaCpp, prompt: Prompt) -> Finish:
    how = Params(TOKENS, 0.0, 1.0, 1, 0.0, 1.0, (), seed=1)
    handle = engine.generate(Request(prompt, how, scope="a tenant"))
    try:
        while True:
            for step in handle.read(5):
                if isinstance(step, Finish):
                    return step
    finally:
        handle.close()


if __name__ == "__main__":
    main()
