"""OPENAI: streams as OpenAI's own client asks for them, with schemas and tools, through deaths of workers and hosts."""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import openai
from openai import OpenAI

from tasks.shapes import check
from tests.faults.checker import Tally
from tests.faults.ground import DEMO_PAIR, Ground
from tests.faults.rig import DEMO, Rig
from tests.faults.rows.kills import arm

_TOKENS = 100
_PASSAGE = 240  # a failpoint later than that may not come: calls of functions are short
_PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["kind", "tall", "old"]}, "minItems": 2, "maxItems": 8},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
_TOOL = {"type": "function", "function": {"name": "note", "description": "Notes a person.", "parameters": _PERSON}}
_FORM = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": _PERSON}}
_ASKS: tuple[dict[str, Any], ...] = (
    {"response_format": _FORM},
    {"tools": [_TOOL], "tool_choice": "required"},
    {"tools": [_TOOL]},
    {"response_format": _FORM, "n": 2},
    {"response_format": _FORM, "tools": [_TOOL]},
)


@dataclass(slots=True)
class Choice:
    """What a client was told of one of several answers."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    reason: str | None = None


class Caller(threading.Thread):
    """One streamed call by the client as it is, which doesn't ask again."""

    def __init__(self, rig: Rig, label: str, asked: dict[str, Any], number: int) -> None:
        super().__init__(daemon=True)
        self.label, self.asked, self.number = label, asked, number
        self.choices: dict[int, Choice] = {}
        self.completion_tokens = 0
        self.error: str | None = None
        self._sdk = OpenAI(base_url=f"{rig.url}/v1", api_key=rig.key, max_retries=0, timeout=rig.subject.limit_s)

    def run(self) -> None:
        try:
            self._read()
        except (openai.OpenAIError, ValueError) as error:
            self.error = f"{type(error).__name__}: {error}"

    def _read(self) -> None:
        chunks = self._sdk.chat.completions.create(
            model=DEMO,
            messages=[{"role": "user", "content": f"Tell me of person {self.number}."}],
            max_tokens=_TOKENS,
            seed=self.number,
            metadata={"request": self.label},
            stream=True,
            stream_options={"include_usage": True},
            **self.asked,
        )
        for chunk in chunks:
            for told in chunk.choices:
                choice = self.choices.setdefault(told.index, Choice())
                choice.text += told.delta.content or ""
                choice.calls += [(call.function.name, call.function.arguments) for call in told.delta.tool_calls or ()]
                choice.reason = told.finish_reason or choice.reason
            if chunk.usage:
                self.completion_tokens = chunk.usage.completion_tokens


def streams_with_schemas_and_tools(ground: Ground) -> Tally:
    """OPENAI: a worker, or only its host, dies at a random token of such streams: their clients don't notice."""
    tally, rig = Tally(), ground.rig
    rig.heal(DEMO_PAIR)
    label, callers = f"OPENAI.{ground.seed}.{time.time_ns()}", list[Caller]()
    for injection in range(ground.size(20, 4)):
        tally.injections += 1
        host = bool(injection % 2)
        token = ground.random.randint(1, _PASSAGE)
        arm(ground, "demo-one", f"worker.mid_generation:{token}{':pause' if host else ''}")
        own = _called(ground, label, len(callers))
        tally.fired += _struck(rig, own, host=host)
        for caller in own:
            caller.join(rig.subject.limit_s)
        callers += own
    for caller in callers:
        _check(rig, tally, caller)
    later = rig.rows("SELECT count(*) FROM jobs WHERE metadata->>'request' LIKE %s AND attempt > 1", f"{label}.%")
    tally.notes.append(f"{later[0][0]} jobs took more than one attempt")
    rig.heal(DEMO_PAIR)
    return ground.check(ground.party(), tally)


def _called(ground: Ground, label: str, first: int) -> list[Caller]:
    """Callers for all slots of both workers, who start at the same moment."""
    rig = ground.rig
    for name in DEMO_PAIR:
        rig.freeze(name)
    numbers = range(first, first + 2 * rig.subject.slots)
    callers = [Caller(rig, f"{label}.{number}", _ASKS[number % len(_ASKS)], number) for number in numbers]
    for caller in callers:
        caller.start()
    accepted = "SELECT count(*) FROM jobs WHERE metadata->>'request' = ANY(%s)"
    labels = [caller.label for caller in callers]
    rig.until(lambda: rig.rows(accepted, labels)[0][0] == len(callers))
    for name in DEMO_PAIR:
        rig.thaw(name)
    return callers


def _struck(rig: Rig, callers: list[Caller], *, host: bool) -> bool:
    """Whether the fault came, and where it is the host's, does it."""

    def over() -> bool:
        return not any(caller.is_alive() for caller in callers)

    if not host:
        rig.until(lambda: not rig.alive("demo-one") or over())
        return not rig.alive("demo-one")
    rig.until(lambda: "event=failpoint" in rig.log("demo-one") or over())
    if "event=failpoint" not in rig.log("demo-one"):
        return False
    rig.host("demo-one").kill()
    return True


def _check(rig: Rig, tally: Tally, caller: Caller) -> None:
    """Its answers are valid, those that are kept, and paid once."""
    jobs = "SELECT id FROM jobs WHERE metadata->>'request' = %s AND parent_id IS NULL"
    found = rig.rows(jobs, caller.label)
    tally.jobs += 1
    tally.lost += not found
    tally.doubled += len(found) > 1
    if caller.is_alive() or caller.error or not found:
        tally.failed += 1
        tally.notes.append(f"{caller.label}: {caller.error or 'is still waiting'}")
        return
    [(job_id,)] = found[:1]
    kept = rig.rows(
        "SELECT o.result, (SELECT array_agg(l.completion_tokens) FROM ledger l WHERE l.job_id = j.id) FROM jobs j"
        " LEFT JOIN job_outputs o ON o.job_id = j.id WHERE %s IN (j.id, j.parent_id) ORDER BY j.parent_id NULLS FIRST,"
        " j.place",
        job_id,
    )
    tally.usage += any(len(entered or ()) != 1 for _, entered in kept)
    tally.usage += sum(sum(entered or ()) for _, entered in kept) != caller.completion_tokens
    answers = [result for result, _ in kept[1:]] if len(kept) > 1 else [kept[0][0]]
    tally.differing += len(answers) != len(caller.choices)
    for place, result in enumerate(answers):
        _check_choice(tally, caller, caller.choices.get(place, Choice()), result)


def _check_choice(tally: Tally, caller: Caller, told: Choice, kept: dict[str, Any]) -> None:
    message = kept["message"]
    calls = [(call["name"], call["arguments"]) for call in message.get("tool_calls", ())]
    if (told.text, told.calls, told.reason) != (message["content"], calls, kept["finish_reason"]):
        tally.differing += 1
        tally.notes.append(f"{caller.label}: read {told}, kept {kept}")
    texts = [arguments for _, arguments in told.calls]
    if "response_format" in caller.asked and told.reason == "stop":
        texts.append(told.text)
    for text in texts:
        fault = check.faults(_PERSON, json.loads(text))
        tally.promise(fault is None, f"{caller.label}: {fault} in {text}")
    if caller.asked.get("tool_choice") == "required" and told.reason != "length":
        tally.promise(bool(told.calls), f"{caller.label}: no function was called")
