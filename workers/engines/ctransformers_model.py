"""A model in ctransformers' hands, and one generation after another in each of its slots.

Only here is ctransformers imported, and only in the engine host. Of its Python code only loading is used: its
`tokenize` writes past its buffer, `generate` draws every token with the same seed and warns where a context ends.
"""

import contextlib
import ctypes
import functools
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks import errors
from tasks.models.engine import Finish, Params, Progress, Request, Step
from workers.engines import calls, ctransformers_fit, gguf, sampling, templates, vocabulary
from workers.engines.marks import Piece
from workers.engines.pieces import Pieces
from workers.engines.shapes import Shapes
from workers.engines.vocabulary import Vocabulary


@dataclass(slots=True)
class Slot:
    """A cache of its own, as long as the context, over weights that all slots share (they are mapped).

    `tokens` are those the cache holds, `scope` is whose they are.
    """

    llm: Any
    tokens: list[int] = field(default_factory=list)
    scope: str | None = None


class Model:
    """A loaded model. Used by one thread."""

    def __init__(
        self, path: Path, slots: int, context: int, threads: int, batch: int, template: str | None = None
    ) -> None:
        """Raises `EngineUnusable` for what can't be loaded, before the library has touched it if we can tell."""
        header = gguf.read(path)
        ctransformers_fit.check(header, context)
        self.context, self.batch = context, batch
        self._threads = min(threads, len(os.sched_getaffinity(0)) if sys.platform == "linux" else threads)
        source = template or header.template
        self.has_template = source is not None
        self.instructed = header.template is not None
        self._vocabulary = Vocabulary(header, source)
        self.infills = self._vocabulary.between is not None
        self.slots = [Slot(_open(path, context, self._threads)) for _ in range(slots)]
        if self.slots[0].llm.vocab_size != self._vocabulary.size:
            raise errors.EngineUnusable(f"{path}: the library counts other tokens than the header has")
        bos, eos = (self._vocabulary.name(token) for token in (self._vocabulary.bos, self._vocabulary.eos))
        self._render, self.template_problem = templates.compiled(source, bos, eos)
        self._written = calls.learn(self._render, eos, self._vocabulary.marks)
        self.call_format = self._written.format

    def prompt(self, text: str) -> list[int]:
        """The token ids of a text, special ones where their names stand. Raises `EngineRefused` for what is no text."""
        if "\0" in text:
            raise errors.EngineRefused("the text has a NUL character, which ctransformers can't read")
        return self._encode(self._vocabulary.marks.split(text))

    def infill(self, prompt: str, suffix: str) -> list[int]:
        """The token ids of what is to be filled in. Raises `EngineRefused` for what is no text, or can't be."""
        if "\0" in prompt + suffix:
            raise errors.EngineRefused("the text has a NUL character, which ctransformers can't read")
        with _texts():
            return self._vocabulary.infilled(prompt, suffix, self._plain, self.reread)

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> tuple[str, list[int]]:
        """The conversation by the chat template, as text and as ids: names of special tokens in contents are words.

        Raises `EngineRefused` when that can't be.
        """
        if self._render is None:
            raise errors.EngineRefused(self.template_problem or "the model has no chat template")
        marks = self._vocabulary.marks
        given = marks.guarded_messages(messages), marks.guarded_values(tools)
        pieces = marks.split(calls.rendered(self._render, self._written, *given))
        return marks.text(pieces), self._encode(pieces)

    def prompt_of(self, ids: Sequence[int]) -> str:
        """The text of a prompt given as ids. Raises `EngineRefused` for one that the vocabulary doesn't have."""
        vocabulary.require_known(ids, self._vocabulary.size)
        return self.detokenize(ids)

    def reread(self, text: str) -> list[int]:
        """The token ids of a text in the middle of an answer. A line break keeps the space before a text away."""
        start, whole = self._plain("\n"), self._vocabulary.within(["\n" + text], self._plain)
        return whole[len(start) :]

    def detokenize(self, ids: Sequence[int]) -> str:
        return b"".join(map(self._vocabulary.piece, ids)).decode("utf-8", "replace")

    def run(self, slot: Slot, ids: Sequence[int], request: Request) -> Iterator[Sequence[Step]]:
        """One generation, a batch of the prompt or a token at a time; it may be left off anywhere.

        `ids` are the prompt's and the emitted ones. Raises `ContextLengthExceeded`, `EngineRefused`, `EngineError`.
        """
        self._check(ids, request.params)
        params, pieces = request.params, Pieces(request.params.stop)
        shape = None if params.grammar is None else self._shapes.follow(params.grammar)
        self._begin(slot, ids, request)
        yield from self._evaluate_prompt(slot, ids)
        prompted = len(request.prompt.ids)
        numbers = range(request.number, min(params.max_tokens, request.number + self.context - len(ids)))
        for number in numbers:
            logits, said = _logits(slot), slot.tokens[prompted:]
            allowed = None if shape is None else shape.allowed()
            token = sampling.choose(logits, params, slot.tokens, number, said, allowed)
            if token in self._vocabulary.ends:
                yield _ended(pieces, "stop", 1)
                return
            piece, beside = self._vocabulary.piece(token), params.logprobs
            likely = None if beside is None else sampling.likelihood(logits, token, beside, self._vocabulary.piece)
            delta = pieces.feed(token, piece, likely)
            if shape is not None:
                shape.take(piece)
            yield [delta] if delta else []
            if pieces.stopped:
                yield _ended(pieces, "stop", 0)
                return
            if number < numbers[-1]:
                self._evaluate(slot, [token])
        yield _ended(pieces, "length", 0)

    def _check(self, ids: Sequence[int], params: Params) -> None:
        """What the library doesn't: it would write where it mustn't, or answer with nonsense."""
        if len(ids) >= self.context:
            raise errors.ContextLengthExceeded(f"{len(ids)} tokens leave no room for an answer in {self.context}")
        if not ids or not all(0 <= token < self._vocabulary.size for token in ids):
            raise errors.EngineRefused("the prompt is empty, or has tokens that the model doesn't know")
        vocabulary.require_known(params.logit_bias, self._vocabulary.size)

    @functools.cached_property
    def _shapes(self) -> Shapes:
        """Made when a grammar first asks for it: most jobs have none."""
        tokens = self._vocabulary
        return Shapes([tokens.piece(token) for token in range(tokens.size)], tokens.ends)

    @staticmethod
    def _begin(slot: Slot, ids: Sequence[int], request: Request) -> None:
        """Keeps of the cache what the prompt begins with too: only for its own tenant, and only where nothing is
        drawn, since a prompt evaluated in part has other batches, and their rounding would show.
        """
        same = 0
        if slot.scope == request.scope and request.params.greedy:
            while same < min(len(slot.tokens), len(ids) - 1) and slot.tokens[same] == ids[same]:
                same += 1
        slot.scope = request.scope
        del slot.tokens[same:]

    def _evaluate_prompt(self, slot: Slot, ids: Sequence[int]) -> Iterator[Sequence[Step]]:
        told = len(ids) > self.batch
        while len(slot.tokens) < len(ids):
            self._evaluate(slot, ids[len(slot.tokens) : len(slot.tokens) + self.batch])
            yield [Progress(len(slot.tokens), len(ids))] if told else []

    def _evaluate(self, slot: Slot, ids: Sequence[int]) -> None:
        count, past = len(ids), len(slot.tokens)
        if not slot.llm.ctransformers_llm_batch_eval((ctypes.c_int * count)(*ids), count, past, count, self._threads):
            raise errors.EngineError("ctransformers failed to evaluate tokens")
        slot.tokens += ids

    def _encode(self, pieces: Sequence[Piece]) -> list[int]:
        with _texts():
            return self._vocabulary.encode(pieces, self._plain)

    def _plain(self, text: str) -> Sequence[int]:
        """The library's tokens of a text without special ones. Its own wrapper has one id of room a character, but
        an id a byte can be needed, and three for a space that has no token.
        """
        raw = text.encode()
        room = (ctypes.c_int * (3 * len(raw) + 8))()
        return list(room[: self.slots[0].llm.ctransformers_llm_tokenize(raw, False, room)])


@contextlib.contextmanager
def _texts() -> Iterator[None]:
    """Raises `EngineRefused` for half a surrogate pair, which is no text."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise errors.EngineRefused(f"it isn't text: {error}") from error


def _ended(pieces: Pieces, reason: str, further: int) -> Sequence[Step]:
    delta = pieces.finish()
    return [*([delta] if delta else []), Finish(reason, pieces.untold + further)]


def _logits(slot: Slot) -> sampling.Floats:
    """A view of the library's numbers, good until the next evaluation."""
    llm = slot.llm
    return np.ctypeslib.as_array(llm.ctransformers_llm_logits_data(), (llm.ctransformers_llm_logits_size(),))


def _open(path: Path, context: int, threads: int) -> Any:
    """Loads the file once. Raises `EngineUnusable` when the library won't."""
    llm = _library()
    config = llm.Config(context_length=context, threads=threads)
    try:
        opened = llm.LLM(str(path), model_type="gguf", config=config, lib=_build())
    except (RuntimeError, OSError, ValueError) as error:
        raise errors.EngineUnusable(f"ctransformers can't load {path}: {error}") from error
    return opened


@functools.cache
def _library() -> Any:
    """`ctransformers.llm` without its package's own start, which would need huggingface_hub and some twenty more."""
    found = importlib.util.find_spec("ctransformers")
    if found is None:
        raise errors.EngineUnusable(
            "ctransformers isn't installed: pip install --no-deps -r requirements-ctransformers.txt"
        )
    sys.modules["ctransformers"] = importlib.util.module_from_spec(found)
    from ctransformers import llm

    return llm


def _build() -> str:
    """The build for this processor. Named here, since the library would ask py-cpuinfo, which starts a compiler."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return "basic"
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    return "avx2" if "avx2" in flags else "avx" if {"avx", "f16c"} <= set(flags) else "basic"
