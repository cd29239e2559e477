"""Driving an engine through one generation: from what was already streamed to the end, through the host's deaths.

What was streamed is never withdrawn: a run that was interrupted goes on from the token ids of what was read, whether
it is greedy or sampled (ADR 13).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from tasks import errors, failpoints, telemetry
from tasks.kinds import generation
from tasks.kinds.kind import Composed
from tasks.limits.spent import Spent
from tasks.models.capabilities import Capability
from tasks.models.engine import Delta, Finish, Generator, Handle, Params, Progress, Request, Step
from tasks.streams import events
from tasks.streams.transcript import Round
from tasks.telemetry import EngineLost
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.quarantine import Run
from workers.slot import Slot
from workers.stages import prompts, speech
from workers.stages.hearing import Hearing
from workers.stages.opening import Opening
from workers.stages.prompts import Compose
from workers.stages.speech import Calls, Speech
from workers.stages.telling import Telling

log = structlog.get_logger(__name__)

_PROGRESS_S = 0.25
_POLL_S = 0.5
_TRUST_TOKENS = 16  # so many new tokens after the place of a crash clear a suspect
_TRIES = 2  # at an answer that fits its schema, where the grammar alone can't see to it
_UNFIT = "the model's answer doesn't fit its schema"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a generation ended: `stop`, `length` or `tool_calls`, and what it spent, over all attempts."""

    reason: str
    spent: Spent


class _Unfit(Exception):
    """What the model said doesn't fit its schema."""


class Generation:
    """One attempt's run on an engine. Used by one thread; `attempt.stop` ends it from another."""

    def __init__(
        self,
        slot: Slot,
        attempt: Attempt,
        publisher: Publisher,
        engine: Generator,
        compose: Compose = prompts.compose,
    ) -> None:
        self._slot, self._attempt, self._publisher, self._engine = slot, attempt, publisher, engine
        self._compose = compose
        self._claim, self._quarantine = attempt.claim, slot.quarantine
        self._telling = Telling(attempt, publisher, slot.speaking, self._trust)
        self.asked = generation.NOTHING  # what is put to the model, once it has been
        self._opened = self._heard = False
        self._run = Run()
        self._news_tokens = 0
        self._tries = 0  # at an answer that fits
        self._prompt_tokens = 0
        self._cached_tokens: int | None = None  # of the prompt in the first run: what later ones find cached was its
        self._told_tokens, self._heard_tokens = 0, 0  # to readers before this run; of the engine in it
        self._untold_tokens = 0  # of all runs that came to their ends: heard, and told to nobody
        self._reported_at = self._heard_at = 0.0

    def run(self) -> Ending:
        """Streams what the model says to its end: the answer, or calls of functions, after which it may go on.

        Raises a `JobError` when the job is at fault, `Cancelled` when the attempt is stopped, `Fenced` when it is
        shut out, `EngineUnusable` when the engine can't be brought back.
        """
        with self._slot.courtesy.generating(self._attempt):
            return self._to_the_end()

    def _to_the_end(self) -> Ending:
        while True:
            self._quarantine.enter(self._run, self._attempt.check)
            incarnation = self._engine.incarnation
            try:
                ending = self._run_once()
                self._tries = 0  # what comes after calls is another answer
                return ending
            except _Unfit as error:
                self._try_again(error)
                continue
            except errors.EngineLost as error:
                self._note_loss(error)
            finally:
                self._quarantine.leave(self._run)
            # Also after a verdict: whoever comes next finds an engine that lives.
            self._engine.restart(incarnation, explained=self._run.guilty)
            if self._run.guilty:
                raise errors.Poison("the engine host died of this job again while running it alone")

    def _note_loss(self, error: errors.EngineLost) -> None:
        """Raises `Cancelled` when the attempt is stopped anyway."""
        if not isinstance(error, errors.EngineGone):
            self._quarantine.lost(self._run)
        telemetry.emit(EngineLost(self._engine.name, str(error)))
        self._attempt.check()

    def _try_again(self, error: _Unfit) -> None:
        """Raises `AnswerUnfit` when it was tried often enough."""
        self._tries += 1
        if self._tries >= _TRIES:
            raise errors.AnswerUnfit(f"{_UNFIT}: {error}") from error

    @property
    def spent(self) -> Spent:
        """What was spent so far, over all attempts; also on what nobody was told, but for the deaths of hosts.

        The prompt once an answer has begun: of several rounds the last one, which has the others in it.
        """
        told = self._publisher.transcript.spent
        if not (told.completion or self._untold_tokens):
            return told
        return Spent(self._prompt_tokens, told.completion + self._untold_tokens, cached=self._cached_tokens or 0)

    def _run_once(self) -> Ending:
        self._news_tokens = self._heard_tokens = 0
        self._told_tokens = self._publisher.transcript.spent.completion
        prompt, composed = self._compose(self._claim, self._engine, self._publisher.transcript)
        self.asked = composed.generation
        self._prompt_tokens = len(prompt.ids)
        self._open(self._prompt_tokens, composed)
        allowed = speech.of(composed.generation, self._engine.call_format, self._slot.shaper)
        so_far = self._publisher.transcript.rounds[-1]
        begun = self._begun(allowed, so_far)
        params = self._params(composed, allowed, so_far, begun)
        if (params.stop and self._stopped()) or (so_far.said and params.grammar == speech.OVER):
            self._check(allowed, so_far, "")
            return self._ending("stop")
        if so_far.tokens >= params.max_tokens:
            return self._ending("length")
        claim, said = self._claim, self._said(allowed, so_far)
        scope, patient = claim.tenant_id.hex, claim.lane == "batch"
        handle = self._engine.generate(Request(prompt, params, said, so_far.tokens, scope, patient, claim.job_id))
        opening = Opening(trims=(composed.plain or composed.generation.turns is not None) and not so_far.said)
        hearing = Hearing(allowed, partial(self._check_call, allowed), len(so_far.calls), bool(so_far.text), begun)
        try:
            self._attempt.hold(handle)
            self._telling.begin()  # while the prompt is evaluated
            reason = self._follow(handle, opening, hearing)
        except (_Unfit, errors.JobError):
            self._count_untold()
            raise
        finally:
            self._attempt.release()
            self._telling.end()
        self._count_untold()
        return self._ending(reason)

    def _ending(self, reason: str) -> Ending:
        if reason == "stop" and self._publisher.transcript.rounds[-1].calls:
            reason = "tool_calls"
        return Ending(reason, self.spent)

    def _check_call(self, allowed: Speech, name: str, arguments: str) -> None:
        """Raises `_Unfit` for arguments that don't fit the function's schema."""
        schema = allowed.tools.get(name)
        if schema is None:
            raise _Unfit(f"there is no function {name[:64]}")
        if fault := self._slot.shaper.faults(schema, arguments):
            raise _Unfit(f"{name}: {fault}")

    def _check(self, allowed: Speech, so_far: Round, held: str) -> None:
        """Raises `_Unfit` for an answer that is neither calls nor a text that it may be; `held` is its untold end.

        `AnswerUnfit` where a part has been told: that can't be said otherwise.
        """
        if so_far.calls:
            return
        if allowed.calls is Calls.ONLY or (allowed.calls is Calls.AFTER_TEXT and allowed.has_begun(held)):
            raise _Unfit("it isn't a whole call")
        if allowed.schema is not None and (fault := self._slot.shaper.faults(allowed.schema, so_far.text + held)):
            raise errors.AnswerUnfit(f"{_UNFIT}: {fault}") if so_far.text else _Unfit(fault)

    def _said(self, allowed: Speech, so_far: Round) -> tuple[int, ...]:
        """The token ids of all that was streamed in this round. Where the engine didn't tell them, those that the text
        has now.

        Raises `EngineRefused` when the engine can't go on with them: what was streamed is never withdrawn.
        """
        if so_far.said and Capability.CONTINUES_BY_IDS not in self._engine.capabilities:
            raise errors.EngineRefused("interrupted: the engine can't go on with an answer that it has begun")
        ids: list[int] = []
        events_so_far = [event for event, _ in so_far.said]
        for known, (event, token_ids) in enumerate(so_far.said):
            last_words = isinstance(event, events.Delta) and not event.spent.completion  # of a call that was cut off
            if len(token_ids) != event.spent.completion or (last_words and known == len(so_far.said) - 1):
                read = allowed.raw(events_so_far[:known])
                return (*ids, *self._engine.reread(allowed.raw(events_so_far)[len(read) :]))
            ids += token_ids
        return tuple(ids)

    def _stopped(self) -> bool:
        """Whether an earlier attempt came to a stop string: then its last delta has less text than its tokens."""
        for last, token_ids in self._publisher.transcript.rounds[-1].said[-1:]:
            if not isinstance(last, events.Delta):
                return False
            shown, whole = last.text.lstrip(), self._engine.detokenize(token_ids).lstrip()
            return len(whole) > len(shown) and whole.startswith(shown)
        return False

    def _begun(self, allowed: Speech, so_far: Round) -> str:
        """What the tokens of the last call that was told hold of what follows it."""
        for event, token_ids in so_far.said[-1:]:
            if isinstance(event, events.ToolCall):
                _, found, left = self._engine.detokenize(token_ids).rpartition(allowed.written(event))
                return left if found else ""
        return ""

    def _params(self, composed: Composed, allowed: Speech, so_far: Round, begun: str) -> Params:
        room = self._engine.context - self._prompt_tokens
        if room < 1:
            said, context = self._prompt_tokens, self._engine.context
            raise errors.ContextLengthExceeded(f"{said} tokens leave no room for an answer in {context}")
        asked, earlier_tokens = composed.generation, self._publisher.transcript.spent.completion - so_far.tokens
        if asked.max_tokens is not None:
            asked = replace(asked, max_tokens=asked.max_tokens - earlier_tokens)
        # The same seed would say the same again.
        params = asked.params((self._claim.seed + self._tries) % 2**31, room)
        params = replace(params, grammar=allowed.left(allowed.raw([event for event, _ in so_far.said]) + begun))
        return replace(params, temperature=1.0, top_k=40) if self._tries and params.greedy else params

    def _open(self, prompt_tokens: int, composed: Composed) -> None:
        """The attempt's first events, once: that the job starts, what it asks of which passages, or that it goes on."""
        if self._opened:
            return
        self._opened = True
        self._attempt.progress = (0, prompt_tokens)
        claim, lost = self._claim, self._attempt.lost
        if self._publisher.transcript.entries:
            self._publisher.transcript.add(events.Resumed(claim.attempt, lost))
        else:
            self._publisher.transcript.add(events.Started(claim.attempt, self._slot.worker_id, prompt_tokens, lost))
            if composed.question is not None:
                self._publisher.transcript.add(events.Question(composed.question))
            if composed.passages is not None:
                self._publisher.transcript.add(events.Passages(composed.passages))

    def _follow(self, handle: Handle, opening: Opening, hearing: Hearing) -> str:
        """Reads the engine until it finishes; returns why it did."""
        self._heard_at = self._reported_at = time.monotonic()
        while True:
            for step in self._read(handle):
                if isinstance(step, Progress):
                    self._report(step)
                    continue
                self._heard_tokens += step.tokens
                if isinstance(step, Finish):
                    self._cached_tokens = step.cached if self._cached_tokens is None else self._cached_tokens
                    self._finish(step.reason, hearing)
                    return step.reason
                self._hear(opening.feed(step), hearing)
            self._telling.flush_if_due()

    def _count_untold(self) -> None:
        """What this run heard of the engine was spent, also where nobody was told."""
        told_tokens = self._publisher.transcript.spent.completion - self._told_tokens
        self._untold_tokens += self._heard_tokens - told_tokens

    def _hear(self, delta: Delta | None, hearing: Hearing) -> None:
        failpoints.passed("worker.mid_generation")
        self._attempt.evaluated()
        if not self._heard:
            self._heard = True
            self._slot.courtesy.has_begun_to_answer(self._claim.job_id)
        for heard in hearing.feed(delta) if delta is not None else ():
            self._telling.say(heard)

    def _finish(self, reason: str, hearing: Hearing) -> None:
        """Tells what was held back, once it has been checked."""
        self._telling.flush()
        if reason == "stop":
            self._check(hearing.speech, self._publisher.transcript.rounds[-1], hearing.text)
        for heard in hearing.finish(reason):
            self._telling.say(heard)
        self._telling.flush()

    def _read(self, handle: Handle) -> Sequence[Step]:
        """The engine's next steps. An engine that says nothing for too long is taken for hung and ended."""
        due_s = self._telling.due_in_s  # until then nothing would be sent
        steps = handle.read(due_s, gather=True) if due_s > 0 else handle.read(0 if self._telling.waits else _POLL_S)
        now = time.monotonic()
        if steps or self._attempt.paused():
            self._heard_at = now
        elif now - self._heard_at > self._slot.stall_s:
            log.error("engine_stalled", silent_s=round(now - self._heard_at, 1))
            self._engine.hang_up()
        return steps

    def _report(self, step: Progress) -> None:
        """How far a long prompt has come: for the record always, as an event a few times a second."""
        failpoints.passed("worker.mid_prefill")
        self._attempt.progress = (step.done, step.total)
        now = time.monotonic()
        if 0 < step.done < step.total and now - self._reported_at >= _PROGRESS_S:
            self._reported_at = now
            self._publisher.transcript.add(events.Progress(step.done, step.total, Spent(prompt=step.done)))
            self._publisher.flush()

    def _trust(self, tokens: int) -> None:
        """Counts new tokens: after some the place of a crash lies behind."""
        self._news_tokens += tokens
        if self._news_tokens >= _TRUST_TOKENS:
            self._attempt.proven = True
            if self._run.suspect:
                self._quarantine.proven(self._run)
