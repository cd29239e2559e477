"""`response`: a conversation's next turn, of items in OpenAI's shape; it may go on from another response."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from tasks import errors, ids
from tasks.conversations import items as conversations
from tasks.jobs import responses, stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.jobs.responses import Found, Item
from tasks.keys import Caller
from tasks.kinds import chat, generation, items
from tasks.kinds.generation import Answer, Generation, Text, Turn
from tasks.kinds.kind import Answering, Composed, Measure
from tasks.models import choosing
from tasks.models.catalog import Catalog, Model

MAX_ITEMS = 4000  # of a response with all that was said before it
_REFERENCE = "item_reference"
_MAX_REFERRED = 32  # responses whose items one request names
_LEAST_ROOM = 256  # tokens that are kept free for an answer where old turns are dropped

# What is stored of it beside how it is answered.
_OWN = ("items", "before", "instructions", "said", "truncates")


@dataclass(frozen=True, slots=True)
class Asked:
    """The items that are to be answered, those `before` them, and how; `answer` has no turns of its own.

    `previous` is the response, or `conversation` the conversation, that this one goes on from: the items of either come
    before these, once it has been looked up.
    With `truncates`, the oldest turns are dropped where the model has no room for all. `said` is what the client said
    of it, as it is told again.
    """

    items: tuple[Item, ...]
    answer: Generation = field(default_factory=Generation)
    instructions: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[Item, ...] = ()
    previous: uuid.UUID | None = None
    conversation: uuid.UUID | None = None
    truncates: bool = False

    def to_json(self) -> Stored:
        how = self.answer.to_json()
        own = {
            "items": list(self.items),
            "before": list(self.before) or None,
            "instructions": self.instructions,
            "said": dict(self.said),
            "truncates": self.truncates or None,
        }
        return Stored({**how.input, **{name: each for name, each in own.items() if each is not None}}, how.params)

    @property
    def told(self) -> dict[str, Any]:
        """What the client said of it, with the instructions."""
        return {**self.said, "instructions": self.instructions}

    @property
    def turns(self) -> tuple[Turn, ...]:
        return items.turns([*self.before, *self.items])

    @property
    def first(self) -> tuple[Turn, ...]:
        """What stands before all turns."""
        return (Turn("system", (Text(self.instructions),)),) if self.instructions else ()


class ResponseKind(Answering[Asked]):
    name = responses.TYPE
    serves = "chat"

    def parse(self, stored: Stored) -> Asked:
        given = stored.input
        how = {name: each for name, each in given.items() if name not in _OWN}
        return Asked(
            items=tuple(given["items"]),
            answer=generation.from_json(Stored(how, stored.params)),
            instructions=given.get("instructions"),
            said=given["said"],
            before=tuple(given.get("before", ())),
            truncates=given.get("truncates", False),
        )

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Asked]) -> Plan:
        """Raises like every kind; `PreviousResponseMissing`, and `InvalidField` for items that aren't there, or calls
        without their outputs."""
        model = choosing.model_for(models, self.serves, asked.model)
        choosing.refuse_what_it_lacks(model, asked.request.answer.given())
        job_id = ids.new()
        whole = _whole(session, caller, asked.request, job_id)
        _refuse_loose_ends(whole)
        planned = replace(asked, request=_fitting(model, whole))
        conversation = asked.request.conversation
        return Plan(planned, stages.GENERATE, model.name, model.name, job_id=job_id, conversation_id=conversation)

    def compose(self, request: Asked, stage_input: Mapping[str, Any], context: int, measure: Measure) -> Composed:
        del stage_input
        turns = request.turns

        def put(start: int) -> Generation:
            return replace(request.answer, turns=request.first + turns[start:])

        if not request.truncates:
            return Composed(put(0))
        room = min(request.answer.max_tokens or _LEAST_ROOM, _LEAST_ROOM, context // 4)
        starts = [0, *(n for n, turn in enumerate(turns) if n and turn.role == "user")]
        return Composed(put(starts[_first(starts, lambda start: _measured(measure, put(start)) <= context - room)]))

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        [answer] = answers
        return chat.said(answer)


def _whole(session: Session, caller: Caller, asked: Asked, job_id: uuid.UUID) -> Asked:
    """What is asked, with all that comes before it. Raises `PreviousResponseMissing`, `ConversationMissing`,
    `ConversationFull`, `InvalidField`."""
    before = asked.before
    if asked.previous is not None:
        before = (*before, *_said_until(_previous(session, caller, asked.previous)))
    elif asked.conversation is not None:
        before = tuple(_conversed(session, caller, asked.conversation, responses.inputs(job_id, asked.items)))
    own = tuple(_referred(session, caller, asked.items, before))
    if len(before) + len(own) > MAX_ITEMS and not asked.truncates:
        raise errors.InvalidField("input", f"with what was said before, there are more than {MAX_ITEMS} items")
    return replace(asked, items=own, before=before[-MAX_ITEMS:])


def _previous(session: Session, caller: Caller, job_id: uuid.UUID) -> Found:
    shown = ids.show(job_id, ids.RESPONSE)
    try:
        found = responses.get(session, caller, job_id)
    except errors.NotFound as error:
        message = f"Previous response with id '{shown}' not found."
        raise errors.PreviousResponseMissing("previous_response_id", message) from error
    if not found.job.ended:
        raise errors.InvalidField("previous_response_id", f"{shown} hasn't ended yet")
    return found


def _conversed(session: Session, caller: Caller, conversation_id: uuid.UUID, coming: Sequence[Item]) -> list[Item]:
    try:
        return list(conversations.context(session, caller, conversation_id, coming))
    except errors.NotFound as error:
        message = f"Conversation with id '{ids.show(conversation_id, ids.CONVERSATION)}' not found."
        raise errors.ConversationMissing("conversation", message) from error


def _said_until(found: Found) -> Iterator[Item]:
    """All that was said until a response had ended, its own output last."""
    yield from found.before
    yield from responses.inputs(found.job.id, found.items)
    if found.job.result is not None:
        yield from responses.outputs(found.job.id, found.job.result)


def _referred(session: Session, caller: Caller, given: Sequence[Item], before: Sequence[Item]) -> Iterator[Item]:
    """The items, and in the place of a reference the item that it names. Raises `InvalidField`."""
    known = {item["id"]: item for item in before if "id" in item}
    looked_up: set[uuid.UUID] = set()
    for number, item in enumerate(given):
        if item["type"] != _REFERENCE:
            yield item
            continue
        place = responses.place_of(item["id"])
        if item["id"] not in known and place and place[0] not in looked_up and len(looked_up) < _MAX_REFERRED:
            looked_up.add(place[0])
            known |= {each["id"]: each for each in _items_of(session, caller, place[0])}
        if item["id"] not in known:
            raise errors.InvalidField(f"input.{number}.id", f"Item with id '{item['id'][:64]}' not found.")
        yield known[item["id"]]


def _items_of(session: Session, caller: Caller, job_id: uuid.UUID) -> list[Item]:
    try:
        found = responses.get(session, caller, job_id)
    except errors.NotFound:
        return []
    made = responses.outputs(job_id, found.job.result) if found.job.result else []
    return [*responses.inputs(job_id, found.items), *made]


def _refuse_loose_ends(asked: Asked) -> None:
    """Raises `InvalidField` where nothing is asked, or a function's call and its output aren't both there."""
    every = [*asked.before, *asked.items]
    if not items.turns(every) and not asked.instructions:
        raise errors.InvalidField("input", "is missing: there is nothing to be answered")
    call, output = items.unanswered(every)
    if call is not None:
        raise errors.InvalidField("input", f"No tool output found for function call {call[:64]}.")
    if output is not None:
        message = f"No tool call found for function call output with call_id {output[:64]}."
        raise errors.InvalidField("input", message)


def _fitting(model: Model, asked: Asked) -> Asked:
    """What is asked; without the oldest of what was said before where that can't fit and may be dropped.

    Raises `PromptTooLong`.
    """
    if not asked.truncates:
        choosing.refuse_what_cannot_fit(model, "input", *_words(asked))
        return asked
    choosing.refuse_what_cannot_fit(model, "input", *_words(replace(asked, before=())))
    before = asked.before
    starts = [*range(0, len(before), 16), len(before)]
    start = starts[_first(starts, lambda place: _fits(model, replace(asked, before=before[place:])))]
    return replace(asked, before=before[start:])


def _fits(model: Model, asked: Asked) -> bool:
    try:
        choosing.refuse_what_cannot_fit(model, "input", *_words(asked))
    except errors.PromptTooLong:
        return False
    return True


def _words(asked: Asked) -> Iterator[str]:
    for turn in asked.first + asked.turns:
        yield turn.text
        yield from (call.arguments for call in turn.tool_calls)


def _measured(measure: Measure, asked: Generation) -> float:
    try:
        return measure(asked)
    except errors.ContextLengthExceeded:
        return float("inf")


def _first(candidates: Sequence[int], fits: Any) -> int:
    """The place of the first candidate that fits, of which all later ones do; the last where none does."""
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if fits(candidates[middle]):
            high = middle
        else:
            low = middle + 1
    return low
