"""Asking an engine, and what it answers."""

from pathlib import Path

from tasks.models import catalog
from tasks.models.engine import Delta, Finish, Handle, Params, Step

ROOT = Path(__file__).parents[2]
MODEL = catalog.load(ROOT / "models" / "catalog.toml")["demo-chat"]
QUESTION = "Context: The code of the harbour is 19.\nQuestion: What is the code of the harbour?"
STORY = "User: Tell me a story about Anna.\nAssistant:"


def params(**changes: object) -> Params:
    whole = {"max_tokens": 60, "temperature": 0.0, "top_p": 0.95, "top_k": 40, "min_p": 0.05}
    return Params(**({"repetition_penalty": 1.0, "stop": (), "seed": 1} | whole | changes))  # type: ignore[arg-type]


def drain(handle: Handle) -> list[Step]:
    steps: list[Step] = []
    try:
        while not (steps and isinstance(steps[-1], Finish)):
            steps += handle.read(5)
    finally:
        handle.close()
    return steps


def deltas(steps: list[Step]) -> list[Delta]:
    return [step for step in steps if isinstance(step, Delta)]


def text(steps: list[Step]) -> str:
    return "".join(delta.text for delta in deltas(steps))


def spent(steps: list[Step]) -> int:
    """All tokens of the answer, told or not."""
    return sum(step.tokens for step in steps if isinstance(step, Delta | Finish))
