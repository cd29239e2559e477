"""The stage in which a summary climbs its tree: a document's, from its parts, or the whole's, from its documents'.

Each time the job is here it goes as far as it can: what is to be said in steps becomes children, for which it waits,
and the last step, from which the summary comes, it takes itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks import errors, ids
from tasks.documents.chunking import Piece
from tasks.jobs import family, fence, stages
from tasks.jobs.family import Child, Grown
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Plan, Submission
from tasks.kinds import KINDS
from tasks.kinds.summary import NAME, OneDocument, PartStep, Step, Summary
from tasks.limits.spent import NOTHING, Spent
from tasks.models.engine import Generator
from tasks.summaries import material, prompts, sentences, sources, steps, telling, tree
from tasks.summaries.material import Material
from tasks.summaries.prompts import Purpose
from tasks.summaries.tree import Level
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import tally
from workers.stages.generation import Generation

_LOT = 32  # children written down in one transaction
_SLACK = 8  # tokens that texts may have more together than each by itself
_TOKEN_CHARACTERS = 64  # no token has more: so long a text needn't be counted


def summarize(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
    """The document's summary, or that of all documents; or the steps that come before, for whose ends the job waits.

    Raises `JobError`s: for a document that has no text, and for a model whose context is too small.
    """
    claim = attempt.claim
    asked = KINDS[claim.type].parse(claim.asked)
    assert isinstance(asked, OneDocument | Summary)
    with slot.sessions.begin() as session:
        grown = family.grown(session, claim.job_id)
        if isinstance(asked, OneDocument):
            of = material.document(session, claim.tenant_id, asked.document)
        else:
            of = material.documents(session, claim.tenant_id, asked.documents, grown)
    if isinstance(asked, Summary) and not of.texts:
        return tally.outcome(slot, attempt, {})
    return _Climb(slot, attempt, publisher, asked, of).go_on(grown)


@dataclass(frozen=True, slots=True)
class _Climb:
    """One attempt's. Used by one thread."""

    slot: Slot
    attempt: Attempt
    publisher: Publisher
    asked: OneDocument | Summary
    of: Material

    @property
    def engine(self) -> Generator:
        return self.slot.generator

    def go_on(self, grown: Sequence[Grown]) -> Outcome | Onward:
        """From where the job has come: up to the end, or to the next children."""
        left = self.attempt.claim.stage_input
        if left is None or "level" not in left:
            level = self._first()
        else:
            waiting = Level.from_json(left["level"])
            self._empty(waiting)
            if failed := _failed(waiting, grown):
                return Outcome(Status.FAILED, error=failed)
            level = waiting.filled({each.place: (each.result or {}).get("text") for each in grown})
        while level.texts:
            last = self._of(Purpose(self._subject(level), last=True), level.known)
            is_cut = level.own and len(level.texts) > 1
            if not is_cut and self._fits(last):
                return self._finish(level, last)
            level, children = self._step(level)
            if children:
                self._adopt(children)
                state = {"level": level.to_json()}
                return Onward(stages.SUMMARIZE, self.slot.queue, state, wait_for_children=True)
            level = level.filled({})
        raise errors.AnswerUnfit("the model said nothing that a summary could be made of")

    def _empty(self, level: Level) -> None:
        """Notes are said of documents, which may be deleted: they are kept for no longer than they are needed."""
        claim = self.attempt.claim
        with self.slot.sessions.begin() as session:
            family.empty(session, claim.job_id, claim.attempt, level.first, stages.SUMMARIZE_PART)

    def _first(self) -> Level:
        """The lowest level: the document whole, where one prompt holds it, or cut into parts; all documents' notes."""
        texts = tuple(self.of.texts)
        if isinstance(self.asked, Summary):
            return Level(texts, own=False, first=len(self.asked.documents))
        whole = Level(texts, own=True, first=0, places=((0, len(self.of.text)),))
        if self._fits(self._of(Purpose("whole", last=True), whole.known)) and self._is_short(self.of.text):
            return whole
        places = [(piece.begins, piece.ends) for piece in self._cut(self.of.text)]
        if not self.engine.instructed:  # of code and tables it could only repeat some
            prose = [place for place in places if telling.has_prose(self.of.text[slice(*place)])]
            places = prose or places
        texts = tuple(self.of.text[begins:ends] for begins, ends in places)
        return replace(whole, texts=texts, places=tuple(places))

    def _is_short(self, text: str) -> bool:
        told = self.engine.instructed
        return prompts.is_short(0 if told else len(self.engine.reread(text)), told=told)

    def _cut(self, text: str) -> list[Piece]:
        """Its parts, which begin with its headings. Raises `ContextLengthExceeded` where there is room for none."""
        part = Purpose("part", last=False)
        room = (
            self.engine.context
            - prompts.notes_tokens(self.engine.context)
            - self._tokens(self._of(part, [""]))
            - _SLACK
        )
        around = len(self.engine.tokenize([""])[0])
        size = min(prompts.part_tokens(told=self.engine.instructed), room - around)
        if size < 1:
            raise errors.ContextLengthExceeded(f"{self.engine.context} tokens leave no room for a part of the document")

        def count(texts: Sequence[str]) -> list[int]:
            return [len(ids) - around for ids in self.engine.tokenize(texts)]

        return self.slot.cutter.cut(self.attempt, text, count, size, 0, self.attempt.check, self.of.about)

    def _step(self, level: Level) -> tuple[Level, list[Child]]:
        """The level above, and the children that are still to say what is in it."""
        purpose = Purpose("part" if level.own else self._subject(level), last=False)
        if not level.own:
            level = self._with_room(level, purpose)
        texts = level.known
        groups = self._groups(level, purpose)
        requests = [
            self._of(purpose, [texts[at] for at in group])
            if level.own or len(group) > 1
            else None  # what is left over goes up as it is
            for group in groups
        ]
        digests = [None if each is None else self._digest(each) for each in requests]
        known = self._known([digest for digest in digests if digest])
        said = tuple(
            texts[group.start] if digest is None else known.get(digest)
            for group, digest in zip(groups, digests, strict=True)
        )
        children = [
            self._child(self._stored(level, at, request), level.first + at)
            for at, (request, text) in enumerate(zip(requests, said, strict=True))
            if request and text is None
        ]
        taken = sum(digest is not None for digest in digests)
        cached = level.cached + taken - len(children)
        return replace(level, texts=said, own=False, steps=level.steps + taken, cached=cached), children

    def _groups(self, level: Level, purpose: Purpose) -> list[range]:
        texts = level.known
        if level.own:
            return [range(at, at + 1) for at in range(len(texts))]
        costs = [len(ids) + 1 for ids in self.engine.tokenize(texts)]
        return tree.groups(texts, costs, self._room(purpose), prompts.notes_tokens(self.engine.context))

    def _room(self, purpose: Purpose) -> int:
        """The tokens that notes have together in a prompt. Raises `ContextLengthExceeded` where there is none."""
        context = self.engine.context
        room = context - prompts.notes_tokens(context) - self._tokens(self._of(purpose, [""])) - _SLACK
        if room < 1:
            raise errors.ContextLengthExceeded(f"{context} tokens leave no room for what is asked of a note")
        return room

    def _with_room(self, level: Level, purpose: Purpose) -> Level:
        """The level with notes of which any two have room in a prompt: made by words, they have too many tokens where a
        vocabulary knows few of these. Raises `ContextLengthExceeded`."""
        if len(level.texts) == 1:
            raise errors.ContextLengthExceeded(f"{self.engine.context} tokens leave no room for a note and its summary")
        most = self._room(purpose) // 2 - 1
        return replace(level, texts=tuple(self._within(text, most) for text in level.known))

    def _within(self, text: str, most: int) -> str:
        """The text, or as much of its beginning as has so many tokens; to the end of a word, where there are words."""
        while (cost := len(self.engine.tokenize([text])[0])) > most and text:
            kept = text[: min(len(text) - 1, len(text) * most // cost)]
            text = kept.rpartition(" ")[0] or kept
        return text

    def _stored(self, level: Level, at: int, request: Step) -> Step | PartStep:
        """What the step's job is to hold: of the document's own text only the place."""
        if not level.own or isinstance(self.asked, Summary):
            return request
        return PartStep(self.asked.document, *level.places[at], replace(request, texts=()))

    def _child(self, request: Step | PartStep, place: int) -> Child:
        claim = self.attempt.claim
        asked = Submission(NAME, claim.model, request)
        job_id = ids.beside(claim.job_id, place)
        return Child(Plan(asked, stages.SUMMARIZE_PART, claim.model, self.slot.queue, job_id), place)

    def _adopt(self, children: Sequence[Child]) -> None:
        claim = self.attempt.claim
        for first in range(0, len(children), _LOT):
            self.attempt.check()
            with self.slot.sessions.begin() as session:
                queues = family.adopt(session, claim.job_id, claim.attempt, children[first : first + _LOT])
            for queue in queues:
                self.slot.wake(queue)

    def _finish(self, level: Level, last: Step) -> Outcome:
        manner = self.asked.manner
        if (
            level.own
            and not manner.asks_of_a_model
            and (short := sentences.shortened(telling.prose(level.known[0]), manner))
        ):
            return self._outcome(level, short, NOTHING)
        digest = self._digest(last)
        level = replace(level, steps=level.steps + 1)
        if known := self._known([digest]):
            return self._outcome(replace(level, cached=level.cached + 1), known[digest], NOTHING)
        generation = self._generation(last)
        try:
            said = self._said(last, generation)
        except errors.JobError as error:  # for all that was computed, also where nobody was told
            failure = error.code, str(error).replace("\0", "")
            return Outcome(Status.FAILED, generation.spent, error=failure, progress=self.attempt.progress)
        claim = self.attempt.claim
        with self.slot.sessions.begin() as session:
            fence.guard(session, claim.job_id, claim.attempt)
            said = steps.keep(session, claim.tenant_id, digest, said)
        return self._outcome(level, said, generation.spent)

    def _generation(self, last: Step) -> Generation:
        """Of the last step, which this job takes itself: its readers read along."""
        stored = last.to_json()
        left = {**(self.attempt.claim.stage_input or {}), "step": {"input": stored.input, "params": stored.params}}
        self.attempt.claim = replace(self.attempt.claim, stage_input=left)  # what the job's prompt is made of
        return Generation(self.slot, self.attempt, self.publisher, self.engine)

    def _said(self, last: Step, generation: Generation) -> str:
        """What is kept of what the model says to the last step. Raises `AnswerUnfit` where that is nothing."""
        ending = generation.run()
        said = self.publisher.transcript.rounds[-1].text
        if kept := last.kept(said, self.engine.context, finished=ending.reason == "stop"):
            return kept
        raise errors.AnswerUnfit("the model said nothing that is a summary")

    def _outcome(self, level: Level, said: str, spent: Spent) -> Outcome:
        told: dict[str, Any] = {"summary": said, "steps": level.steps, "cached_steps": level.cached}
        if level.skipped:
            told["skipped_parts"] = level.skipped
        found = sentences.of(said)
        if isinstance(self.asked, Summary):
            told["sentences"] = self.of.told_of_documents(found)
            ended = tally.outcome(self.slot, self.attempt, told)
            return replace(ended, spent=spent)
        parts = self.of.parts or [sources.Part(at, *place) for at, place in enumerate(level.places)]
        shown = sources.shown(found, self.of.text, parts, self.of.about.marks.pages)
        # The parts that it was cut into here are nobody's to look up.
        told["sentences"] = shown if self.of.parts else [{**each, "chunks": []} for each in shown]
        about: dict[str, Any] = {"document": ids.show(self.asked.document, ids.DOCUMENT)}
        about |= {"filename": self.of.filename, "title": self.of.title}
        return Outcome(Status.SUCCEEDED, spent, {**about, **told}, progress=(level.steps, level.steps))

    def _subject(self, level: Level) -> str:
        if isinstance(self.asked, Summary):
            return "documents"
        return "whole" if level.own and len(level.texts) == 1 else "parts"

    def _of(self, purpose: Purpose, texts: Sequence[str]) -> Step:
        return Step(purpose, self.asked.manner, tuple(texts), self.of.name, self.engine.instructed)

    def _fits(self, step: Step) -> bool:
        if sum(map(len, step.texts)) > self.engine.context * _TOKEN_CHARACTERS:
            return False
        try:
            asked = step.asked(self.engine.context)
            return self._tokens(step) + (asked.max_tokens or 0) <= self.engine.context
        except errors.ContextLengthExceeded:
            return False

    def _tokens(self, step: Step) -> int:
        asked = step.asked(self.engine.context)
        return len((self.engine.prompt(asked.prompt) if asked.prompt else self.engine.chat(asked.messages())).ids)

    def _digest(self, step: Step) -> bytes:
        put = step.asked(self.engine.context).to_json()
        return steps.digest(self.attempt.claim.model, self.engine.identity, put, step.to_json())

    def _known(self, digests: Sequence[bytes]) -> dict[bytes, str]:
        with self.slot.sessions.begin() as session:
            return steps.known(session, self.attempt.claim.tenant_id, digests)


def _failed(level: Level, grown: Sequence[Grown]) -> tuple[str, str] | None:
    """What the first of the level's children failed of, unless the model had only nothing to say."""
    last = level.first + len(level.texts)
    for each in grown:
        if level.first <= each.place < last and each.error and each.error[0] != errors.AnswerUnfit.code:
            return each.error
    return None
