"""A file of requests read as a batch reads it, slice by slice, and told what it comes to; nothing of it is run."""

import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from dialects.openai import lines as dialect
from tasks import errors
from tasks.batches import estimates, states, surveys, twins
from tasks.batches.batches import FileError
from tasks.batches.lines import FileLine
from tasks.batches.surveys import Asked, Survey
from tasks.jobs import stages
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Onward, Outcome
from tasks.jobs.requests import Stored
from tasks.models import catalog
from tasks.streams.events import Started
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import batch_lines, check_lines
from workers.stages.batch_lines import Planner
from workers.stages.check_lines import Checked, Checker, Found


def survey_lines(slot: Slot, attempt: Attempt, publisher: Publisher) -> Outcome | Onward:
    """Reads a slice of the file. At its end the job has what was found as its result, whether all is right or not."""
    claim = attempt.claim
    if not publisher.transcript.entries:
        publisher.transcript.add(Started(claim.attempt, slot.worker_id))
        publisher.flush()
    kept = claim.stage_input or {}
    part, found = batch_lines.begun(slot, attempt), Found.from_json(kept)
    checker = Checker(slot, attempt, batch_lines.endpoint(attempt), batch_lines.surroundings(slot), found)
    surveyor = Surveyor(Survey.from_json(kept.get("survey", {})), checker, kept)
    with slot.line_turns.taken(claim.tenant_id, claim.job_id, attempt.check):
        is_over = surveyor.read(part)
    surveyor.count_answered(slot, claim.tenant_id)
    if not is_over:
        part.progressed()
        surveyed = {"survey": surveyor.survey.to_json(), **surveyor.planner.where}
        return Onward(stages.SURVEY_LINES, catalog.CONTROL, part.where | found.to_json() | surveyed)
    if not found.errors and not found.lines:
        found.errors.append(FileError("empty_file", "the file has no lines"))
    told = {"lines": found.lines, "errors": [error.plain() for error in found.errors]}
    return Outcome(Status.SUCCEEDED, result=told | {"survey": surveyor.survey.to_json()})


class Surveyor:
    """Checks lines, and adds up those that are right. `handed` has where the `Planner` of the slice before stood."""

    def __init__(self, survey: Survey, checker: Checker, handed: Mapping[str, Any]) -> None:
        self.survey, self._checker = survey, checker
        self.planner = Planner.after(checker.around.models, batch_lines.caller(checker.attempt), handed)
        self._repeatable = defaultdict[str, list[bytes]](list)  # digests of lines by their models

    def read(self, part: batch_lines.Slice) -> bool:
        """Reads the slice; whether that was the last of the file that is to be read."""
        found = self._checker.found
        try:
            for line in part.lines():
                self._look(line)
                if found.enough:
                    return True
        except errors.NotFound:
            found.errors.append(check_lines.GONE)
            return True
        return part.over

    def count_answered(self, slot: Slot, tenant_id: uuid.UUID) -> None:
        """Adds how many of the lines that were read the tenant's batches have answers to already."""
        if not self._repeatable:
            return
        with slot.sessions.begin() as session:
            made_by = slot.identities(session)
            for model, digests in self._repeatable.items():
                if (identity := made_by.get(model)) is not None:
                    known = [twins.known_as(digest, tenant_id, model, identity) for digest in digests]
                    self.survey.models[model].answered += states.answered(session, tenant_id, known)

    def _look(self, line: FileLine) -> None:
        read = self._checker.check(line)
        if read is None or line.raw is None:
            return
        self.survey.line(line.number, read.line.custom_id, len(line.raw))
        stored = read.line.asked.request.to_json()
        try:
            stored = self._planned(read)
        except errors.InvalidField as error:
            refused = dialect.refused(error)
            self.survey.warn(FileError(refused.code, str(refused)[:500], line.number, refused.field))
        most = stored.params.get("max_tokens")
        choices = stored.params.get("choices", 1)
        if (digest := twins.digest(read.line.asked, read.line.about)) is not None:
            self._repeatable[read.model].append(digest)
        size = surveys.words(stored.input)
        self.survey.asked(read.model, size * choices, None if most is None else most * choices)

    def _planned(self, read: Checked) -> Stored:
        """What its job would ask. Raises `InvalidField` for what can't be answered, or hardly."""
        model = self.planner.models[read.model]
        with self._checker.slot.sessions.begin() as session:
            if model.name not in self.survey.models:
                rate = estimates.rate(session, self.planner.owner.tenant_id, model.name)
                self.survey.models[model.name] = Asked(rate)
            stored = self.planner.plan(session, read.line).asked.request.to_json()
            session.rollback()  # a plan notes that it uses a vector store, and this one is never followed
        rate = self.survey.models[model.name].rate
        if (tokens := rate.tokens(_longest(stored.input))) > model.context:
            message = f"about {tokens} tokens, at {rate.bytes_per_token} bytes each: {model.name} has {model.context}"
            raise errors.PromptTooLong(None, message)
        return stored


def _longest(asked: Mapping[str, Any]) -> int:
    """How many bytes of words are put to the model at once, as far as that isn't known to fit."""
    if asked.get("truncates") or "prompt_ids" in asked:
        return 0
    several = asked.get("prompts", asked.get("texts"))
    return max(map(surveys.words, several)) if several else surveys.words(asked)
