"""One generation asked of the platform and of the engine host, each the way its own clients would."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from benchmarks import wire
from benchmarks.stacks import Stack
from benchmarks.wire import Reading

# What both sides are told, so that both sample alike. A penalty below 1 rewards repeating, without which the demo
# model's answers end after some forty tokens.
SAMPLING = {"temperature": 0.8, "top_p": 0.95, "top_k": 40, "min_p": 0.05}
PENALTY = 0.3


@dataclass(frozen=True, slots=True)
class Answer:
    """One generation: seconds from asking to the id (platform only) and to the first token, when it began and ended,

    how many tokens it gave, and what was read.
    """

    accepted_s: float
    first_token_s: float
    began_at: float
    ended_at: float
    tokens: int
    reading: Reading


@dataclass(frozen=True, slots=True)
class Platform:
    """Jobs over HTTP, read as server-sent events."""

    stack: Stack
    model: str

    async def generate(self, prompt: str, max_tokens: int, seed: int) -> Answer:
        began_at = time.perf_counter()
        job_id = await self.submit(prompt, max_tokens, seed)
        accepted_at = time.perf_counter()
        reading = await self.follow(job_id)
        first_at, ended_at = reading.when(b"event: delta"), reading.pieces[-1][0]
        tokens = reading.events("succeeded")[0]["usage"]["completion_tokens"]
        return Answer(accepted_at - began_at, first_at - began_at, began_at, ended_at, tokens, reading)

    async def submit(self, prompt: str, max_tokens: int, seed: int) -> str:
        """A job's id."""
        params = {**SAMPLING, "repetition_penalty": PENALTY, "max_tokens": max_tokens, "seed": seed}
        job = {"type": "generate", "model": self.model, "input": {"prompt": prompt}, "params": params}
        return str((await self.ask("POST", "/v1/jobs", job))["id"])

    async def follow(self, job_id: str) -> Reading:
        """The job's events, to the last."""
        sent = wire.request("GET", f"/v1/jobs/{job_id}/events", self.stack.key, last=True)
        return await wire.read_all(self.stack.address, sent)

    async def open_events(self, job_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The job's events, to be read by the caller."""
        reader, writer = await asyncio.open_connection(*self.stack.address)
        writer.write(wire.request("GET", f"/v1/jobs/{job_id}/events", self.stack.key, last=True))
        return reader, writer

    async def cancel(self, job_id: str) -> None:
        await self.ask("POST", f"/v1/jobs/{job_id}/cancel", {})

    async def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One exchange on a connection of its own. Raises `RuntimeError` for what isn't a success."""
        reader, writer = await asyncio.open_connection(*self.stack.address)
        status, answer = await wire.exchange(reader, writer, wire.request(method, path, self.stack.key, body))
        writer.close()
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return dict(json.loads(answer))


@dataclass(frozen=True, slots=True)
class Direct:
    """llama-server's own streamed `/completion`, on an engine host that `benchmarks.hosts` started."""

    address: wire.Address
    key: str

    async def generate(self, prompt: str, max_tokens: int, seed: int) -> Answer:
        body = {**SAMPLING, "repeat_penalty": PENALTY, "prompt": prompt, "n_predict": max_tokens, "seed": seed}
        began_at = time.perf_counter()
        reading = await wire.read_all(
            self.address, wire.request("POST", "/completion", self.key, body | {"stream": True}, last=True)
        )
        first_at, ended_at = reading.when(b"data: "), reading.pieces[-1][0]
        tokens = reading.events("")[-1]["tokens_predicted"]
        return Answer(0.0, first_at - began_at, began_at, ended_at, tokens, reading)


Client = Platform | Direct
