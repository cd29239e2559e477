"""Telling what a model says: events of the job's stream, a few tokens at a time."""

import math
import time
from collections.abc import Callable

from tasks import telemetry
from tasks.limits.spent import Spent
from tasks.models.engine import Delta
from tasks.streams import events
from tasks.telemetry import FirstToken
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.speaking import Speaking
from workers.stages.hearing import Call, Heard
from workers.stages.opening import joined

FLUSH_TOKENS = 8


class Telling:
    """One attempt's. Used by one thread. `news` is told of the tokens that are said, as many as are new."""

    def __init__(self, attempt: Attempt, publisher: Publisher, speaking: Speaking, news: Callable[[int], None]) -> None:
        self._attempt, self._publisher, self._speaking, self._news = attempt, publisher, speaking, news
        self._answered = False
        self._item = 0
        self._group: list[Delta] = []  # deltas that aren't an entry yet
        self._flushed_at = -math.inf

    def begin(self) -> None:
        """Sends what the attempt has written so far; what is said from now on is of the round under way."""
        self._item = len(self._publisher.transcript.rounds) - 1
        self._publisher.flush()

    def end(self) -> None:
        """Nothing more is said, and what isn't written is forgotten."""
        self._speaking.end(self)
        self._group = []

    def say(self, heard: Heard) -> None:
        self._tell_first()
        self._speaking.begin(self)
        if isinstance(heard, Call):
            self._news(heard.made_from.tokens)
            self._write(heard)
            return
        self._group.append(heard)
        self._news(heard.tokens)
        if sum(delta.tokens for delta in self._group) >= FLUSH_TOKENS:
            self.flush()

    @property
    def due_in_s(self) -> float:
        """A group waits for company for a while after the last one went out; the answer's first waits not at all."""
        return self._flushed_at + self._speaking.wait_s - time.monotonic()

    @property
    def waits(self) -> bool:
        """Whether something isn't sent."""
        return bool(self._group)

    def flush_if_due(self) -> None:
        if self._group and self.due_in_s <= 0:
            self.flush()
        elif not self._group:
            self._publisher.flush()

    def flush(self) -> None:
        self._write(None)

    def _write(self, call: Call | None) -> None:
        """The group, and the call with it: a reader has both or neither, since their tokens may be one."""
        transcript = self._publisher.transcript
        if self._group:
            delta, self._group = joined(self._group), []
            said = events.Delta(delta.text, Spent(completion=delta.tokens), self._item, delta.logprobs)
            transcript.add(said, delta.token_ids)
        if call is not None:
            made_from = call.made_from
            spent = Spent(completion=made_from.tokens)
            told = events.ToolCall(self._item, call.id, call.name, call.arguments, spent)
            transcript.add(told, made_from.token_ids)
        self._publisher.flush()
        self._flushed_at = time.monotonic()

    def _tell_first(self) -> None:
        """Tells of the answer's first piece, where no earlier attempt had it."""
        if self._publisher.heard and not (self._answered or self._publisher.transcript.spoken):
            claim, after_s = self._attempt.claim, time.monotonic() - self._attempt.claimed_at
            self._attempt.first_token_s = after_s
            telemetry.emit(FirstToken(claim.job_id, claim.attempt, claim.model, after_s))
        self._answered = True
