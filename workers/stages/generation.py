"""Driving an engine through one generation: from what was already streamed to the end, through the host's deaths.

What was streamed is never withdrawn: a run that was interrupted goes on from the token ids of what was read, whether
it is greedy or sampled (ADR 13).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from tasks import errors, failpoints, telemetry
from tasks.documents.questions import Passage
from tasks.kinds.kind import Composed
from tasks.limits.spent import Spent
from tasks.models.capabilities import Capability
from tasks.models.engine import Delta, Finish, Generator, Handle, Params, Progress, Request, Step
from tasks.streams import events
from tasks.telemetry import EngineLost, FirstToken
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.quarantine import Quarantine, Run
from workers.speaking import Speaking
from workers.stages import prompts
from workers.stages.opening import Opening, joined

log = structlog.get_logger(__name__)

FLUSH_TOKENS = 8
_PROGRESS_S = 0.25
_POLL_S = 0.5
_TRUST_TOKENS = 16  # so many new tokens after the place of a crash clear a suspect


@dataclass(frozen=True, slots=True)
class Ending:
    """How a generation ended: `stop` or `length`, and what it spent, over all attempts."""

    reason: str
    spent: Spent


class Generation:
    """One attempt's run on an engine. Used by one thread; `attempt.stop` ends it from another."""

    def __init__(
        self,
        attempt: Attempt,
        publisher: Publisher,
        engine: Generator,
        quarantine: Quarantine,
        speaking: Speaking,
        worker_id: str,
        stall_s: float,
    ) -> None:
        self._attempt, self._publisher, self._engine = attempt, publisher, engine
        self._claim, self._quarantine, self._speaking = attempt.claim, quarantine, speaking
        self._worker_id, self._stall_s = worker_id, stall_s
        self._opened = self._answered = False
        self._run = Run()
        self._news_tokens = 0
        self._group: list[Delta] = []  # deltas that aren't an entry yet
        self._flushed_at = self._reported_at = self._heard_at = 0.0

    def run(self) -> Ending:
        """Streams the answer to its end.

        Raises a `JobError` when the job is at fault, `Cancelled` when the attempt is stopped, `Fenced` when it is
        shut out, `EngineUnusable` when the engine can't be brought back.
        """
        while True:
            self._quarantine.enter(self._run, self._attempt.check)
            incarnation = self._engine.incarnation
            try:
                return self._run_once()
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

    def _run_once(self) -> Ending:
        self._news_tokens = 0
        prompt, composed = prompts.compose(self._claim, self._engine)
        prompt_tokens = len(prompt.ids)
        params = self._params(composed, prompt_tokens)
        self._open(prompt_tokens, composed.passages)
        so_far, scope = self._publisher.transcript, self._claim.tenant_id.hex
        number = so_far.spent.completion
        if params.stop and self._stopped():
            return Ending("stop", Spent(prompt_tokens, number))
        if number >= params.max_tokens:
            return Ending("length", Spent(prompt_tokens, number))
        handle = self._engine.generate(Request(prompt, params, self._said(), number, scope))
        opening = Opening(trims=composed.generation.turns is not None and not so_far.text)
        try:
            self._attempt.hold(handle)
            self._publisher.flush()  # while the prompt is evaluated
            finish = self._follow(handle, opening)
        finally:
            self._attempt.release()
            self._speaking.end(self)
            self._group = []
        unseen_tokens = finish.tokens + opening.withheld_tokens
        return Ending(finish.reason, Spent(prompt_tokens, so_far.spent.completion + unseen_tokens))

    def _said(self) -> tuple[int, ...]:
        """The token ids of all that was streamed. Where the engine didn't tell them, those that the text has now.

        Raises `EngineRefused` when the engine can't go on with them: what was streamed is never withdrawn.
        """
        so_far = self._publisher.transcript
        if so_far.text and Capability.CONTINUES_BY_IDS not in self._engine.capabilities:
            raise errors.EngineRefused("interrupted: the engine can't go on with an answer that it has begun")
        ids, text = so_far.exact()
        rest = so_far.text[len(text) :]
        return (*ids, *self._engine.reread(rest)) if rest else ids

    def _stopped(self) -> bool:
        """Whether an earlier attempt came to a stop string: then its last delta has less text than its tokens."""
        for last, token_ids in self._publisher.transcript.deltas[-1:]:
            shown, whole = last.text.lstrip(), self._engine.detokenize(token_ids).lstrip()
            return len(whole) > len(shown) and whole.startswith(shown)
        return False

    def _params(self, composed: Composed, prompt_tokens: int) -> Params:
        room = self._engine.context - prompt_tokens
        if room < 1:
            context = self._engine.context
            raise errors.ContextLengthExceeded(f"{prompt_tokens} tokens leave no room for an answer in {context}")
        return composed.generation.params(self._claim.seed, room)

    def _open(self, prompt_tokens: int, passages: list[Passage] | None) -> None:
        """The attempt's first events, once: that the job starts, from which passages, or that it goes on."""
        if self._opened:
            return
        self._opened = True
        self._attempt.progress = (0, prompt_tokens)
        if self._publisher.transcript.entries:
            self._publisher.transcript.add(events.Resumed(self._claim.attempt))
        else:
            self._publisher.transcript.add(events.Started(self._claim.attempt, self._worker_id, prompt_tokens))
            if passages is not None:
                self._publisher.transcript.add(events.Passages(passages))

    def _follow(self, handle: Handle, opening: Opening) -> Finish:
        """Reads the engine until it finishes."""
        self._heard_at = self._reported_at = time.monotonic()
        while True:
            for step in self._read(handle):
                if isinstance(step, Finish):
                    self._write_group()
                    return step
                if isinstance(step, Delta):
                    failpoints.passed("worker.mid_generation")
                    self._attempt.evaluated()
                    self._write(opening.feed(step))
                else:
                    self._report(step)
            self._write_group_if_due()

    def _read(self, handle: Handle) -> Sequence[Step]:
        """The engine's next steps. An engine that says nothing for too long is taken for hung and ended."""
        due_s = self._due_in_s()  # until then nothing would be sent
        steps = handle.read(due_s, gather=True) if due_s > 0 else handle.read(0 if self._group else _POLL_S)
        now = time.monotonic()
        if steps:
            self._heard_at = now
        elif now - self._heard_at > self._stall_s:
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

    def _write(self, news: Delta | None) -> None:
        if news is None:
            return
        self._tell_first()
        self._speaking.begin(self)
        self._group.append(news)
        self._news_tokens += news.tokens
        if self._news_tokens >= _TRUST_TOKENS:
            self._attempt.proven = True
            if self._run.suspect:
                self._quarantine.proven(self._run)
        if sum(delta.tokens for delta in self._group) >= FLUSH_TOKENS:
            self._write_group()

    def _tell_first(self) -> None:
        """Tells of the answer's first piece, where no earlier attempt had it."""
        if not (self._answered or self._publisher.transcript.deltas):
            claim, after_s = self._claim, time.monotonic() - self._attempt.claimed_at
            self._attempt.first_token_s = after_s
            telemetry.emit(FirstToken(claim.job_id, claim.attempt, claim.model, after_s))
        self._answered = True

    def _write_group_if_due(self) -> None:
        """A group waits for company for a while after the last one went out; the answer's first waits not at all."""
        if self._group and self._due_in_s() <= 0:
            self._write_group()
        elif not self._group:
            self._publisher.flush()

    def _due_in_s(self) -> float:
        return self._flushed_at + self._speaking.wait_s - time.monotonic()

    def _write_group(self) -> None:
        if self._group:
            delta = joined(self._group)
            self._group = []
            said = events.Delta(delta.text, Spent(completion=delta.tokens), logprobs=delta.logprobs)
            self._publisher.transcript.add(said, delta.token_ids)
        self._publisher.flush()
        self._flushed_at = time.monotonic()
