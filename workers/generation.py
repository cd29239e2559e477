"""Driving an engine through one generation: from what was already streamed to the end, through the host's deaths."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from tasks import errors, failpoints, jobs
from tasks.documents.questions import Passage
from tasks.engine import Delta, Engine, Finish, Handle, Params, Progress, Request, Step
from tasks.streams import transcript
from workers import prompts
from workers.attempt import Attempt
from workers.pen import Pen
from workers.quarantine import Quarantine
from workers.repetition import Repetition, joined

log = structlog.get_logger(__name__)

FLUSH_TOKENS = 8
FLUSH_S = 0.005
_PROGRESS_S = 0.25
_POLL_S = 0.5
_LOSSES_ALONE_ALLOWED = 2
_TRUST_TOKENS = 16  # so many new tokens after the place of a crash clear a suspect


@dataclass(frozen=True, slots=True)
class Ending:
    """How a generation ended: `stop` or `length`, and what it spent, over all attempts."""

    reason: str
    prompt_tokens: int
    completion_tokens: int


class Generation:
    """One attempt's run on an engine. Used by one thread; `attempt.stop` ends it from another."""

    def __init__(
        self, attempt: Attempt, pen: Pen, engine: Engine, quarantine: Quarantine, worker_id: str, stall_s: float
    ) -> None:
        self._attempt, self._pen, self._engine = attempt, pen, engine
        self._claim, self._quarantine = attempt.claim, quarantine
        self._worker_id, self._stall_s = worker_id, stall_s
        self._opened = False
        self._alone = False
        self._news_tokens = 0
        self._group: list[Delta] = []  # deltas that aren't an entry yet
        self._flushed_at = self._reported_at = self._heard_at = 0.0

    def run(self) -> Ending:
        """Streams the answer to its end.

        Raises a `JobError` when the job is at fault, `Cancelled` when the attempt is stopped, `Fenced` when it is
        shut out, `EngineUnusable` when the engine can't be brought back.
        """
        suspect, losses_alone = False, 0
        while True:
            self._quarantine.enter(self._attempt.check, alone=suspect)
            self._alone, self._news_tokens = suspect, 0
            incarnation = self._engine.incarnation
            try:
                return self._run_once()
            except errors.EngineLost as error:
                suspect, losses_alone = True, losses_alone + self._alone
                log.warning("engine_lost", job_id=str(self._claim.job_id), error=str(error), losses_alone=losses_alone)
                self._attempt.check()
                if losses_alone >= _LOSSES_ALONE_ALLOWED:
                    message = f"the engine host died {losses_alone} times while running this job alone"
                    raise errors.Poison(message) from error
                self._engine.restart(incarnation)
            finally:
                self._quarantine.leave(alone=self._alone)

    def _run_once(self) -> Ending:
        prompt, passages = prompts.compose(self._claim, self._engine)
        prompt_tokens = self._engine.count_tokens(prompt)
        params = self._params(prompt_tokens)
        self._open(prompt_tokens, passages)
        so_far = self._pen.transcript
        emitted, text = so_far.exact(but_the_last=bool(params.stop)) if params.greedy else ((), "")
        if len(emitted) >= params.max_tokens:
            return Ending("length", prompt_tokens, so_far.completion_tokens)
        trims = self._claim.type != "generate" and not text
        repetition = Repetition(so_far.text[len(text) :], text, emitted, trims)
        handle = self._engine.generate(Request(prompt, params, emitted, scope=self._claim.tenant_id.hex))
        try:
            self._attempt.hold(handle)
            self._pen.flush()  # while the prompt is evaluated
            finish = self._follow(handle, repetition)
        finally:
            self._attempt.release()
            self._group = []
        unseen_tokens = finish.tokens + repetition.withheld_tokens
        return Ending(finish.reason, prompt_tokens, so_far.completion_tokens + unseen_tokens)

    def _params(self, prompt_tokens: int) -> Params:
        room = self._engine.context - prompt_tokens
        if room < 1:
            context = self._engine.context
            raise errors.ContextLengthExceeded(f"{prompt_tokens} tokens leave no room for an answer in {context}")
        return jobs.params(self._claim, room)

    def _open(self, prompt_tokens: int, passages: list[Passage] | None) -> None:
        """The attempt's first events, once: that the job starts, from which passages, or that it goes on."""
        if self._opened:
            return
        self._opened = True
        self._attempt.progress = (0, prompt_tokens)
        if self._pen.transcript.entries:
            self._pen.transcript.add(transcript.RESUMED, {"attempt": self._claim.attempt})
        else:
            data = {"attempt": self._claim.attempt, "worker": self._worker_id}
            self._pen.transcript.add(transcript.STARTED, data, tokens=prompt_tokens)
            if passages is not None:
                self._pen.transcript.add(transcript.PASSAGES, {"passages": passages})

    def _follow(self, handle: Handle, repetition: Repetition) -> Finish:
        """Reads the engine until it finishes."""
        self._heard_at = self._reported_at = time.monotonic()
        while True:
            for step in self._read(handle):
                if isinstance(step, Finish):
                    self._write(repetition.finish(), repetition)
                    self._write_group()
                    return step
                if isinstance(step, Delta):
                    failpoints.passed("worker.mid_generation")
                    self._attempt.evaluated()
                    self._write(repetition.feed(step), repetition)
                else:
                    self._report(step)
            self._write_group_if_due()

    def _read(self, handle: Handle) -> Sequence[Step]:
        """The engine's next steps. An engine that says nothing for too long is taken for hung and ended."""
        wait_s = self._flushed_at + FLUSH_S - time.monotonic() if self._group else _POLL_S
        steps = handle.read(max(0.0, wait_s))
        now = time.monotonic()
        if steps:
            self._heard_at = now
        elif now - self._heard_at > self._stall_s:
            log.error("engine_stalled", job_id=str(self._claim.job_id), silent_s=round(now - self._heard_at, 1))
            self._engine.hang_up()
        return steps

    def _report(self, step: Progress) -> None:
        """How far a long prompt has come: for the record always, as an event a few times a second."""
        failpoints.passed("worker.mid_prefill")
        self._attempt.progress = (step.done, step.total)
        now = time.monotonic()
        if 0 < step.done < step.total and now - self._reported_at >= _PROGRESS_S:
            self._reported_at = now
            self._pen.transcript.add(transcript.PROGRESS, {"done": step.done, "total": step.total})
            self._pen.flush()

    def _write(self, news: Delta | None, repetition: Repetition) -> None:
        if news is None:
            return
        if repetition.diverged:
            repetition.diverged = False
            log.warning("run_restarted", job_id=str(self._claim.job_id), attempt=self._claim.attempt)
            self._pen.transcript.add(transcript.RESTARTED, {"attempt": self._claim.attempt})
        self._group.append(news)
        self._news_tokens += news.tokens
        if self._alone and self._news_tokens >= _TRUST_TOKENS:
            self._alone = False
            self._quarantine.mingle()
        if sum(delta.tokens for delta in self._group) >= FLUSH_TOKENS:
            self._write_group()

    def _write_group_if_due(self) -> None:
        """A group waits for company at most `FLUSH_S` after the last one went out; the first waits not at all."""
        if self._group and time.monotonic() - self._flushed_at >= FLUSH_S:
            self._write_group()
        elif not self._group:
            self._pen.flush()

    def _write_group(self) -> None:
        if self._group:
            delta = joined(self._group)
            self._group = []
            data = {"text": delta.text}
            self._pen.transcript.add(transcript.DELTA, data, tokens=delta.tokens, token_ids=delta.token_ids)
        self._pen.flush()
        self._flushed_at = time.monotonic()
