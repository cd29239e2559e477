"""The ports behind which a loaded model stands, whichever library loads it.

A model that writes is a `Generator`, one that embeds an `Embedder`, one that reads pairs a `Reranker`; one in a process
of its own is `Hosted`, as all are today. An engine has the methods of the ports that it claims, and what else it can do
in its `capabilities`.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tasks.models.capabilities import Capability
from tasks.models.catalog import Role
from tasks.models.logprobs import Logprob

if TYPE_CHECKING:  # numpy is spared those who have no vectors
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Params:
    """How to sample. `max_tokens` counts the whole answer, also the part an earlier run gave.

    `frequency_penalty` and `presence_penalty` look at the answer's own tokens (OpenAI, API reference). `logit_bias` is
    added to the numbers of the tokens with these ids. `logprobs` is how many likeliest tokens are told beside each of
    the answer's: 0 tells only its own, None nothing. `grammar` is GBNF (llama.cpp, grammars/README.md) of what may
    follow now: of the rest alone, where an earlier run gave a part. `seeded` says that the client gave the seed, and
    may look for the same answer again.
    """

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    stop: tuple[str, ...]
    seed: int
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    grammar: str | None = None
    seeded: bool = True

    @property
    def greedy(self) -> bool:
        """Nothing is drawn: each token is the likeliest."""
        return self.temperature == 0 or self.top_k == 1


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an engine evaluates before it answers: the token ids, and the text they were made from."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One generation, or the rest of one.

    `emitted` are the ids of the answer's tokens that an earlier run already gave, and `number` how many tokens were
    spent on them: the two differ where a part of the answer had to be tokenised again. What is drawn after them is
    drawn by a seed made of `params.seed` and `number`.
    `scope` keeps tenants apart: what an engine caches for one scope never serves another.
    A `patient` one is to be a `Pausable`, where the engine can do it and the same is said in the end.
    `job_id` is whose generation it is, where it is a job's.
    """

    prompt: Prompt
    params: Params
    emitted: tuple[int, ...] = ()
    number: int = 0
    scope: str = ""
    patient: bool = False
    job_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer: never empty text, whole characters, nothing that could become a stop string.

    `tokens` is how many tokens it came from, `token_ids` their ids, or none where the engine didn't tell them all. The
    ids' text goes on after the piece's only where a stop string cut it. `logprobs` has one for each of its tokens,
    where they were asked for; a character of several tokens may have one for them all, their last one's.
    """

    text: str
    tokens: int
    token_ids: tuple[int, ...]
    logprobs: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the prompt has been evaluated, in tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a generation: `stop` (its own end or a stop string) or `length`.

    `tokens` counts those that no delta carried: the end token, a stop string held back. `cached` counts those of the
    prompt that were evaluated before, and not again.
    """

    reason: str
    tokens: int
    cached: int = 0


Step = Delta | Progress | Finish


class Handle(Protocol):
    """A generation under way."""

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        """What has come since the last call, waiting at most `timeout_s` for the first; empty when nothing has.

        With `gather` the caller has no use for a token before `timeout_s` has gone by: it may come as late as that,
        with those that follow it, so that the thread wakes once for all of them.
        `Finish` is the last step. Raises `Cancelled` after `cancel`, `EngineLost` when the engine host died,
        a `JobError` when the engine refuses the request.
        """

    def cancel(self) -> None:
        """Stops it, from any thread, in any phase; the slot is free soon after. Idempotent."""

    def close(self) -> None:
        """Gives the slot back. Idempotent; also after an error."""


@runtime_checkable
class Pausable(Handle, Protocol):
    """A generation that can stand still. One that can't is no such thing, whatever engine it is of."""

    def pause(self) -> None:
        """Nothing more is evaluated, soon, until `resume`; what is read meanwhile is nothing. From any thread.

        Best effort: where what was read can't be gone on from, it runs on. Idempotent.
        """

    def resume(self) -> None:
        """It goes on from what was read. From any thread. Idempotent."""


class Engine(Protocol):
    """A loaded model. Safe to use from `slots` threads at once."""

    name: str
    slots: int
    context: int
    capabilities: frozenset[Capability]
    identity: str  # another for another file under the model's name

    def close(self) -> None:
        """Frees the model. Idempotent."""


@runtime_checkable
class Hosted(Engine, Protocol):
    """A model in a process of its own, the engine host, which may die or hang alone."""

    @property
    def incarnation(self) -> int:
        """Which engine host serves now: another number after every restart."""

    def restart(self, lost: int, *, explained: bool = False) -> None:
        """Replaces the lost incarnation, which is ended if it should still live; returns when it can be used.

        Does nothing when it has been replaced already, so many may call at once. Raises `EngineUnusable` when the
        engine died too often, can't be loaded, or is closed. `explained` says that a job has been found guilty of the
        deaths so far: they no longer count towards too often.
        """

    def hang_up(self) -> None:
        """Ends a hung engine host for certain; running generations raise `EngineLost`."""


@dataclass(frozen=True, slots=True)
class CallFormat:
    """How a model writes that it wants a function called: these texts stand around the name and the arguments' JSON.

    `before` NAME `between` ARGUMENTS `after`; several calls follow each other with `separator` between them, where the
    model writes several (`parallel`) in such a way. Special tokens that leave no text in an answer aren't in it.
    """

    before: str
    between: str
    after: str
    separator: str = ""
    parallel: bool = True


OUR_CALLS = CallFormat('<tool_call>{"name": "', '", "arguments": ', "}</tool_call>")


@runtime_checkable
class Generator(Hosted, Protocol):
    """A model that answers in words."""

    call_format: CallFormat
    instructed: bool  # its file has a chat template of its own: it was trained to do what it is told

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The token ids of each text as it stands, with what the model puts around one."""

    def prompt(self, text: str) -> Prompt:
        """The text as it stands, with what the model puts before one. The names of special tokens in it are special.

        Raises `ContextLengthExceeded`, and `Poison` for a text that the tokenizer dies of.
        """

    def prompt_of(self, ids: Sequence[int]) -> Prompt:
        """The token ids as they stand, special ones too, with nothing put before them.

        Where it `READS_IDS`. Raises `EngineRefused` for an id that the vocabulary doesn't have.
        """

    def infill(self, prompt: str, suffix: str) -> Prompt:
        """The two texts as they stand, so that the answer is what stands between them.

        The names of special tokens in them are plain text. Where it `INFILLS`. Raises what `prompt` raises, and
        `EngineRefused` where the vocabulary has no tokens for it.
        """

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Prompt:
        """The conversation by the model's chat template, with the tools that it may want called (OpenAI's `tools`).

        A template that knows of no tools has them, and calls and what came of them, in words of ours. A call's
        arguments are a dictionary where they can be one. The names of special tokens in what clients give are plain
        text. Raises `EngineRefused` with the template's reason,
        and what `prompt` raises.
        """

    def reread(self, text: str) -> tuple[int, ...]:
        """The token ids of a text that stands in the middle of an answer: nothing is put before or after it."""

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens."""

    def generate(self, request: Request) -> Handle:
        """Begins a generation. Raises `EngineGone` when the host was dead already."""


@runtime_checkable
class KeepsPrompts(Protocol):
    """One whose slots evaluate of a prompt only what comes after the beginning that their last one had too.

    A prompt gets the free slot that has most of its beginning; one of which none has any, the slot that has been free
    for longest.
    """

    def kept(self) -> Sequence[tuple[uuid.UUID, bool]]:
        """The jobs whose prompts slots have, and whether each slot is free: those first, the one freed last first."""


@runtime_checkable
class Embedder(Hosted, Protocol):
    """A model that answers with vectors."""

    batch_tokens: int  # how many tokens it embeds at a time
    prefixes: Mapping[Role, str]  # what the model wants before a text, by what it is
    unknown: int | None  # the id of what it can't read, where its vocabulary has one

    def tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """The token ids of each text, with what the model puts around one; special tokens in a text are plain text."""

    def prompt_of(self, ids: Sequence[int]) -> Prompt:
        """A text given by its token ids, with nothing put around them.

        Where it `READS_IDS`. Raises `EngineRefused` for an id that the vocabulary doesn't have.
        """

    def embed(self, inputs: Sequence[Sequence[int]]) -> "NDArray[np.float32]":
        """One vector of length 1 for each tokenised text: shape (n, d). Raises `EngineLost` when the host died."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a document, to be read as one text of so many tokens, with what the model puts around both."""

    query: str
    document: str
    tokens: int

    def __len__(self) -> int:
        return self.tokens


@runtime_checkable
class Reranker(Hosted, Protocol):
    """A model that reads a query and a document together, and tells how well the one answers the other."""

    batch_tokens: int  # how many tokens it reads at a time

    def pairs(self, query: str, documents: Sequence[str]) -> list[Pair]:
        """The query with each document. Special tokens in either are plain text.

        Raises `EngineRefused`, and `Poison` for a text that the tokenizer dies of.
        """

    def rank(self, pairs: Sequence[Pair]) -> "NDArray[np.float32]":
        """A number for each pair, the greater the better, as the model gives it: shape (n,), a logit.

        Raises `EngineLost` when the host died.
        """
