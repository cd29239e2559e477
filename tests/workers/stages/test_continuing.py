"""Answers with schemas and calls on real engines, taken up by another attempt after a death at any token.

What was streamed stays, and what comes of both attempts is as valid as if nobody had died.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import fakeredis
import pytest

from tasks import errors, ids
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.models.engine import Delta, Finish, Generator, Handle, Request, Step
from tasks.shapes import check
from tasks.streams import events
from tasks.streams.transcript import Transcript, fold
from tests.support import schemas
from tests.workers.conftest import SHAPER, Bench
from tests.workers.runs import MODEL
from workers.engines import loading
from workers.stages.generate import generate

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["kind", "tall", "old"]}, "minItems": 2, "maxItems": 4},
        "alive": {"type": "boolean"},
    },
    "required": ["name", "age", "tags", "alive"],
    "additionalProperties": False,
}
TOOLS = [
    {"name": "weather", "description": "Tells the weather.", "parameters": PERSON},
    {"name": "weather_at", "description": None, "parameters": {}},
]
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Tell me a story about Anna."}]}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "schema": (CHAT, {"shape": {"schema": PERSON}}),
    "any object": (CHAT, {"shape": {"schema": None}}),
    "call": ({**CHAT, "tools": TOOLS, "tool_choice": "weather"}, {"parallel_tool_calls": False}),
    "calls": ({**CHAT, "tools": TOOLS, "tool_choice": "required"}, {}),
    "text or calls": ({**CHAT, "tools": TOOLS}, {}),
    "schema or calls": ({**CHAT, "tools": TOOLS}, {"shape": {"schema": PERSON}}),
}
_LONGEST = 120


class Mortal:
    """An engine whose generation breaks off before the token of that number, as its host or its worker dies."""

    def __init__(self, engine: Generator, at: int) -> None:
        self._engine, self.at, self.incarnation = engine, at, 0

    def restart(self, lost: int, *, explained: bool = False) -> None:
        self.incarnation = lost + 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def generate(self, request: Request) -> Handle:
        return _Mortal(self, self._engine.generate(request))


class _Mortal:
    def __init__(self, engine: Mortal, inner: Handle) -> None:
        self._engine, self._inner = engine, inner
        self.cancel, self.close = inner.cancel, inner.close

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        steps = []
        for step in self._inner.read(timeout_s, gather=gather):
            if isinstance(step, Delta | Finish) and self._engine.at >= 0:
                self._engine.at -= step.tokens
                if self._engine.at < 0:
                    raise errors.EngineLost("the host is gone")
            steps.append(step)
        return steps


@pytest.fixture(scope="module", params=["llamacpp", "ctransformers"])
def engine(request: pytest.FixtureRequest) -> Iterator[Generator]:
    made = loading.load(replace(MODEL, engine=request.param), slots=1, threads=1)
    assert isinstance(made, Generator)
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_answer_taken_up_after_deaths_is_valid(engine: Generator, case: str, seed: int) -> None:
    """First another attempt goes on, then the host dies in its turn: nothing is withdrawn, all is charged once."""
    random = Random(f"{case}.{seed}")
    given, params = CASES[case]
    asked = {"temperature": 0.8, "max_tokens": _LONGEST, **params}
    bench = Bench(fakeredis.FakeRedis(), ids.new())
    attempt = bench.attempt(type="chat", input=given, params=asked, seed=seed)
    mortal = Mortal(engine, random.randint(0, 40))
    with suppress(errors.EngineLost):
        bench.generation(attempt, mortal)._run_once()
    read = bench.entries()
    mortal.at = random.randint(0, 40)
    second = bench.attempt(2, type="chat", input=given, params=asked, seed=seed)
    outcome = generate(bench.slot(mortal), second, bench.publisher(second))
    assert bench.entries()[: len(read)] == read
    _check(case, outcome, second.transcript)
    assert fold(bench.entries()).entries == second.transcript.entries


def test_generated_schemas_survive_deaths(engine: Generator) -> None:
    """Answers of both attempts that end by themselves satisfy their schemas."""
    ended = 0
    for seed in range(8):
        schema, _ = schemas.Schemas(seed).pair()
        params = {"temperature": 0.8, "max_tokens": 60, "shape": {"schema": schema}}
        bench = Bench(fakeredis.FakeRedis(), ids.new())
        mortal = Mortal(engine, Random(seed).randint(0, 12))
        first = bench.attempt(type="chat", input=CHAT, params=params, seed=seed)
        outcome = generate(bench.slot(mortal), first, bench.publisher(first))
        assert outcome.result is not None, (seed, outcome)
        if outcome.result["finish_reason"] == "stop":
            ended += 1
            assert check.faults(schema, json.loads(bench.text())) is None, (seed, bench.text())
    assert ended > 2


class Killed:
    """An engine whose host is killed as soon as it has been asked, once."""

    def __init__(self, engine: Generator) -> None:
        self._engine, self.killed = engine, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def generate(self, request: Request) -> Handle:
        handle = self._engine.generate(request)
        if not self.killed:
            self.killed = True
            self._engine.hang_up()
        return handle


@pytest.mark.parametrize("case", ["schema", "calls"])
def test_host_that_is_killed_is_replaced_and_the_answer_goes_on(engine: Generator, case: str) -> None:
    """Broken off in its middle, by what stands for a worker's death; then the host dies for certain."""
    given, params = CASES[case]
    asked = {"temperature": 0.8, "max_tokens": _LONGEST, **params}
    bench = Bench(fakeredis.FakeRedis(), ids.new())
    with suppress(errors.EngineLost):
        first = bench.attempt(type="chat", input=given, params=asked)
        bench.generation(first, Mortal(engine, 20))._run_once()
    read, host = bench.entries(), engine.incarnation
    second = bench.attempt(2, type="chat", input=given, params=asked)
    outcome = generate(bench.slot(Killed(engine)), second, bench.publisher(second))
    assert engine.incarnation != host
    assert bench.entries()[: len(read)] == read
    _check(case, outcome, second.transcript)


def _check(case: str, outcome: Outcome, transcript: Transcript) -> None:
    assert outcome.status is Status.SUCCEEDED, outcome
    assert outcome.result is not None
    message, reason = outcome.result["message"], outcome.result["finish_reason"]
    calls = message.get("tool_calls", [])
    for call in calls:
        tool = next(tool for tool in TOOLS if tool["name"] == call["name"])
        assert SHAPER.faults(tool["parameters"] or {"type": "object"}, call["arguments"]) is None, call
    if case == "call" and reason != "length":
        assert [call["name"] for call in calls] == ["weather"]
    if reason == "stop" and case != "text or calls":
        schema = {"type": "object"} if case == "any object" else PERSON
        assert SHAPER.faults(schema, message["content"]) is None, message
    assert message["content"] == transcript.text
    told = sum(event.spent.completion for event, _ in transcript.spoken)
    assert told <= outcome.spent.completion <= _LONGEST
    assert [made.name for made, _ in transcript.spoken if isinstance(made, events.ToolCall)] == [
        call["name"] for call in calls
    ]
