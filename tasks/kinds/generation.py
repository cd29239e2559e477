"""A request for text, whichever dialect it came in: a conversation, or a prompt to be continued."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tasks import strictjson
from tasks.jobs.requests import Stored
from tasks.kinds import sampling
from tasks.kinds.sampling import DEFAULTS, Sampling
from tasks.models.engine import Params
from tasks.models.logprobs import Logprob


@dataclass(frozen=True, slots=True)
class Text:
    """A part of a turn that is text."""

    text: str


Part = Text  # images and sounds will be others


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called; `arguments` is JSON as the model wrote it, which may be none."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may want called; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """The tool as chat templates read it."""
        told = {"name": self.name, "description": self.description or "", "parameters": dict(self.parameters)}
        return {"type": "function", "function": told}


@dataclass(frozen=True, slots=True)
class Shape:
    """What the answer must be: JSON of this schema, or any JSON object where `schema` is None."""

    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says in a conversation. `tool_call_id` names the call that a tool's turn answers."""

    role: str
    parts: tuple[Part, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts)

    def message(self) -> dict[str, Any]:
        """The turn as chat templates read it: of a call that is one, the arguments are a dictionary."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _read(call.arguments)}}
            for call in self.tool_calls
        ]
        known = _known({"tool_calls": calls or None, "tool_call_id": self.tool_call_id})
        return {"role": self.role, "content": self.text, **known}


@dataclass(frozen=True, slots=True)
class Generation:
    """What is to be answered, and how. Exactly one of `turns`, `prompt`, `prompt_ids` and `prompts` is given.

    None, or nothing, is left to the defaults: `max_tokens` to the room that the context has, `seed` to chance.
    `tool_choice` is `auto`, `none`, `required` or a tool's name; `logprobs` how many likeliest tokens are told beside
    each; `logit_bias` is by token id; `choices` how many answers are wanted to each of the prompts, and `keep` how many
    of them, the likeliest, are the answer. Without `parallel_tool_calls` the model wants one tool at a time.
    `server_functions` names those of the tools that are functions of the server: their calls are made here.
    With a `suffix` the answer is what stands between a prompt and it.
    """

    turns: tuple[Turn, ...] | None = None
    prompt: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    prompts: tuple[str | tuple[int, ...], ...] | None = None
    suffix: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    seed: int | None = None
    max_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    shape: Shape | None = None
    logprobs: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    choices: int = 1
    keep: int | None = None
    parallel_tool_calls: bool = True
    server_functions: tuple[str, ...] = ()

    @property
    def children(self) -> int:
        """How many jobs give an answer each; 0 where there is one prompt and one answer, which the job itself gives."""
        if self.prompts is None and self.choices == 1:
            return 0
        return self.choices * (1 if self.prompts is None else len(self.prompts))

    def singles(self) -> "list[Generation]":
        """What is to be asked of the model one by one, each prompt's choices beside each other.

        Where a seed is given, each has its own, made of it.
        """
        asked = [self] if self.prompts is None else [self._of(prompt) for prompt in self.prompts]
        return [each._choice(number) for each in asked for number in range(self.choices)]

    def _of(self, prompt: str | tuple[int, ...]) -> "Generation":
        if isinstance(prompt, str):
            return replace(self, prompts=None, prompt=prompt)
        return replace(self, prompts=None, prompt_ids=prompt)

    def _choice(self, number: int) -> "Generation":
        # Of several the likeliest are kept by the likelihood of their tokens.
        logprobs = 0 if self.keep is not None and self.logprobs is None else self.logprobs
        seed = None if self.seed is None else (self.seed + number) % 2**31
        return replace(self, choices=1, keep=None, logprobs=logprobs, seed=seed)

    def params(self, seed: int, room: int) -> Params:
        """How an engine samples the answer, of which the context holds at most `room` tokens.

        The grammar is for who knows what has been said already to add.
        """
        drawn: dict[str, Any] = {**DEFAULTS, **self.sampling.to_json()}
        most = room if self.max_tokens is None else min(self.max_tokens, room)
        return Params(
            max_tokens=most,
            stop=self.stop,
            seed=seed,
            logit_bias=self.logit_bias,
            logprobs=self.logprobs,
            seeded=self.seed is not None,
            **drawn,
        )

    def messages(self) -> list[dict[str, Any]]:
        """The conversation as chat templates read it. What a tool gave has the tool's name where its call is there."""
        names = {call.id: call.name for turn in self.turns or () for call in turn.tool_calls}
        told = [turn.message() for turn in self.turns or ()]
        return [message | _known({"name": names.get(message.get("tool_call_id", ""))}) for message in told]

    def given(self) -> list[str]:
        """The paths of all that is given, as a client of `/v1/jobs` writes them."""
        stored = self.to_json()
        if any(not isinstance(prompt, str) for prompt in self.prompts or ()):
            return ["input.prompt_ids", *replace(self, prompts=None).given()]
        return [f"input.{name}" for name in stored.input] + [f"params.{name}" for name in stored.params]

    def to_json(self) -> Stored:
        """The request as it is stored; what isn't given isn't there."""
        return Stored(input=_known(_input(self)), params=_known(_params(self)))


NOTHING = Generation()


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a generation: its text, the functions it wants called, why it ended, how likely its tokens were if
    that was asked, and the question that it answers and the passages it was made from if it was."""

    text: str
    finish_reason: str
    passages: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    question: str | None = None

    def ending(self) -> dict[str, Any]:
        """What every result says of the answer's end."""
        told = {"logprobs": [each.plain() for each in self.logprobs]} if self.logprobs else {}
        return {"finish_reason": self.finish_reason, **told}


def from_json(stored: Stored) -> Generation:
    """The request that was stored, by this version or by an earlier one."""
    given, params = stored.input, stored.params
    return Generation(
        turns=tuple(map(_turn, given["messages"])) if "messages" in given else None,
        prompt=given.get("prompt"),
        prompt_ids=tuple(given["prompt_ids"]) if "prompt_ids" in given else None,
        prompts=tuple(map(_prompt, given["prompts"])) if "prompts" in given else None,
        suffix=given.get("suffix"),
        sampling=sampling.from_json(params),
        stop=tuple(params.get("stop", ())),
        seed=params.get("seed"),
        max_tokens=params.get("max_tokens"),
        tools=tuple(Tool(**tool) for tool in given.get("tools", ())),
        tool_choice=given.get("tool_choice"),
        shape=Shape(params["shape"]["schema"]) if "shape" in params else None,
        logprobs=params.get("logprobs"),
        logit_bias={int(token): bias for token, bias in params.get("logit_bias", {}).items()},
        choices=params.get("choices", 1),
        keep=params.get("keep"),
        parallel_tool_calls=params.get("parallel_tool_calls", True),
        server_functions=tuple(params.get("server_functions", ())),
    )


def _input(asked: Generation) -> dict[str, Any]:
    return {
        "messages": None if asked.turns is None else [_message(turn) for turn in asked.turns],
        "prompt": asked.prompt,
        "prompt_ids": None if asked.prompt_ids is None else list(asked.prompt_ids),
        "prompts": None if asked.prompts is None else [_plain(prompt) for prompt in asked.prompts],
        "suffix": asked.suffix,
        "tools": [_tool(tool) for tool in asked.tools] or None,
        "tool_choice": asked.tool_choice,
    }


def _params(asked: Generation) -> dict[str, Any]:
    return {
        **asked.sampling.to_json(),
        "stop": list(asked.stop) or None,
        "seed": asked.seed,
        "max_tokens": asked.max_tokens,
        "shape": None if asked.shape is None else {"schema": asked.shape.schema},
        "logprobs": asked.logprobs,
        "logit_bias": {str(token): bias for token, bias in asked.logit_bias.items()} or None,
        "choices": None if asked.choices == 1 else asked.choices,
        "keep": asked.keep,
        "parallel_tool_calls": None if asked.parallel_tool_calls else False,
        "server_functions": list(asked.server_functions) or None,
    }


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _message(turn: Turn) -> dict[str, Any]:
    """A turn of one text, as most are, is stored as that text; one of several parts as a list."""
    content: Any = [{"type": "text", "text": part.text} for part in turn.parts]
    if len(turn.parts) == 1:
        content = turn.parts[0].text
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in turn.tool_calls]
    return {
        "role": turn.role,
        "content": content,
        **_known({"tool_calls": calls or None, "tool_call_id": turn.tool_call_id}),
    }


def _turn(stored: Mapping[str, Any]) -> Turn:
    return Turn(
        role=stored["role"],
        parts=tuple(_parts(stored["content"])),
        tool_calls=tuple(ToolCall(**call) for call in stored.get("tool_calls", ())),
        tool_call_id=stored.get("tool_call_id"),
    )


def _parts(content: str | Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    if isinstance(content, str):
        yield Text(content)
    else:
        yield from (Text(part["text"]) for part in content)


def _prompt(stored: str | Sequence[int]) -> str | tuple[int, ...]:
    return stored if isinstance(stored, str) else tuple(stored)


def _plain(prompt: str | tuple[int, ...]) -> str | list[int]:
    return prompt if isinstance(prompt, str) else list(prompt)


def _read(arguments: str) -> dict[str, Any] | str:
    """The arguments as a dictionary; as they are where they are none that JSON has for everybody: they may be a
    client's, with numbers, halves of characters or a depth that others don't read."""
    try:
        read = json.loads(arguments)
        strictjson.dumps(read)
    except (ValueError, RecursionError):
        return arguments
    return read if isinstance(read, dict) else arguments


def _tool(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
