"""`python -m models.train.measure [file]`: the table of exact answers through the platform's own engine.

Runs in the platform's environment; none of the training libraries is needed.
"""

import argparse
import random
from collections import Counter
from pathlib import Path

from tasks.models.catalog import Model
from tasks.models.engine import Delta, Finish, Generator, Params, Prompt, Request
from workers.engines import loading

from . import probes
from .probes import Probe

CONTEXT = 512
# The upper ends of the columns, in tokens of the whole prompt.
LENGTHS = (100, 200, 300, CONTEXT)
GREEDY = Params(max_tokens=60, temperature=0.0, top_p=1.0, top_k=1, min_p=0.0, repetition_penalty=1.0, stop=(), seed=1)


def ask(engine: Generator, prompt: Prompt, params: Params = GREEDY) -> str:
    """The engine's whole answer to a prompt."""
    handle = engine.generate(Request(prompt, params))
    told: list[str] = []
    try:
        while True:
            for step in handle.read(30):
                if isinstance(step, Delta):
                    told.append(step.text)
                elif isinstance(step, Finish):
                    return "".join(told).strip()
    finally:
        handle.close()


def table(engine: Generator, asked: list[Probe]) -> tuple[list[str], list[tuple[Probe, str]]]:
    """The lines of the table (markdown), and what was answered wrongly."""
    right, all_of = Counter[tuple[str, str, int]](), Counter[tuple[str, str, int]]()
    wrong: list[tuple[Probe, str]] = []
    for probe in asked:
        prompt = engine.chat([{"role": "user", "content": probe.message}])
        size = next(end for end in LENGTHS if len(prompt.ids) <= end)
        said = ask(engine, prompt)
        for cell in ((probe.kind, probe.form, size), (probe.kind, probe.form, 0)):
            all_of[cell] += 1
            right[cell] += said == probe.answer
        if said != probe.answer:
            wrong.append((probe, said))
    lines = ["| kind | form | " + " | ".join(f"≤ {end} tokens" for end in LENGTHS) + " | all |"]
    lines.append("|---|---|" + "---|" * (len(LENGTHS) + 1))
    for kind in probes.KINDS:
        for form in probes.FORMS:
            cells = [(right[kind, form, size], all_of[kind, form, size]) for size in (*LENGTHS, 0)]
            lines.append(f"| {kind} | {form} | " + " | ".join(f"{share(*cell)}" for cell in cells) + " |")
    return lines, wrong


def share(right: int, count: int) -> str:
    return f"{right / count:.0%} of {count}" if count else "–"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.train.measure", description=__doc__)
    default = Path(__file__).parents[1] / "demo-Q8_0.gguf"
    parser.add_argument("file", type=Path, nargs="?", default=default, help="the model (%(default)s)")
    parser.add_argument("--count", type=int, default=150, help="questions of each kind and form (%(default)s)")
    parser.add_argument("--seed", type=int, default=2, help="other questions (%(default)s)")
    parser.add_argument("--wrong", type=int, default=12, help="wrong answers to show (%(default)s)")
    told = parser.parse_args()
    model = Model("demo", "llamacpp", context=CONTEXT, slots=1, types=("chat",), file=told.file, options={"batch": 512})
    engine = loading.load(model, slots=1, threads=1)
    assert isinstance(engine, Generator)
    try:
        lines, wrong = table(engine, probes.drawn(told.seed, told.count))
    finally:
        engine.close()
    print("\n".join(lines))
    for probe, said in random.Random(0).sample(wrong, min(told.wrong, len(wrong))):
        print(f"\n{probe.kind}, {probe.form}: {probe.message}\n  wanted: {probe.answer}\n  said: {said}")


if __name__ == "__main__":
    main()
