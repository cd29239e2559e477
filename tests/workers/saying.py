"""An engine that says what it is told to, calls among it, and jobs that have it speak."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks import errors
from tasks.jobs.outcomes import Outcome
from tasks.models.engine import Delta, Finish, Handle, Prompt, Request, Step
from tasks.models.logprobs import Logprob
from tests.workers.conftest import Bench
from workers.attempt import Attempt
from workers.engines.echo import Echo
from workers.stages.generate import generate

ANY = {"type": "object"}


def call(name: str, /, **arguments: Any) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {json.dumps(arguments)}}}</tool_call>'


GREET = call("greet", name="Ann")


class Scripted(Echo):
    """Says these texts, one a generation, in tokens of a few letters; each ends with a token that nobody sees.

    `asked` are the requests it was given, `chats` the conversations and the tools. `breaks_after` ends a generation
    by the host's death after so many tokens, once.
    """

    def __init__(self, *answers: str, letters: int = 5, reason: str = "stop", breaks_after: int | None = None) -> None:
        super().__init__("scripted", slots=1, context=4096)
        self.answers, self.letters, self.reason, self.breaks_after = list(answers), letters, reason, breaks_after
        self.asked: list[Request] = []
        self.chats: list[tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]] = []

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Prompt:
        self.chats.append((messages, tools))
        return Prompt("p", tuple(range(10 * len(messages))))

    def detokenize(self, ids: Sequence[int]) -> str:
        return "".join(self.answers[0][id * self.letters : (id + 1) * self.letters] for id in ids)

    def generate(self, request: Request) -> Handle:
        self.asked.append(request)
        text = self.answers[0][len(request.emitted) * self.letters :]
        return _Saying(self, text, len(request.emitted), logprobs=request.params.logprobs is not None)


class _Saying:
    def __init__(self, engine: Scripted, text: str, first: int, *, logprobs: bool) -> None:
        pieces = [text[at : at + engine.letters] for at in range(0, len(text), engine.letters)]
        self._engine, self._left = engine, list(enumerate(pieces, first))
        self._logprobs = logprobs

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        if self._left and self._left[0][0] == self._engine.breaks_after:
            self._engine.breaks_after = None
            raise errors.EngineLost("the host is gone")
        if not self._left:
            self._engine.answers.pop(0)
            return [Finish(self._engine.reason, 1)]
        number, piece = self._left.pop(0)
        return [Delta(piece, 1, (number,), (Logprob(piece, -1.0),) if self._logprobs else ())]

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


def asking(
    bench: Bench, *tools: str, served: Sequence[str] = (), number: int = 1, choice: str | None = None, **params: Any
) -> Attempt:
    """An attempt at a chat that has these tools, of which some are the server's functions."""
    given: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    given["tools"] = [{"name": name, "description": None, "parameters": ANY} for name in (*tools, *served)]
    given |= {"tool_choice": choice} if choice else {}
    asked = {"temperature": 0, **({"server_functions": list(served)} if served else {}), **params}
    return bench.attempt(number, type="chat", input=given, params=asked)


def run(bench: Bench, attempt: Attempt, engine: Echo) -> Outcome:
    publisher = bench.publisher(attempt)
    return generate(bench.slot(engine), attempt, publisher)


def told(bench: Bench, *types: type[Any]) -> list[Any]:
    return [entry.event for entry in bench.entries() if isinstance(entry.event, types)]
