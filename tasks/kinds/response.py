"""`response`: a conversation's next turn, of items in OpenAI's shape; it may go on from another response."""

import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from db.jobs import Job
from tasks import errors, ids
from tasks.conversations import items as conversations
from tasks.documents import questions
from tasks.documents.questions import Passage
from tasks.jobs import responses, stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.jobs.responses import Item
from tasks.keys import Caller
from tasks.kinds import chat, generation, items, preceding
from tasks.kinds.generation import Answer, Generation, Text, Turn
from tasks.kinds.kind import Answering, Composed, Measure
from tasks.models import choosing
from tasks.models.catalog import Catalog, Model
from tasks.vectorstores import searching
from tasks.vectorstores.searching import FileSearch

_LEAST_ROOM = 256  # tokens that are kept free for an answer where old turns are dropped

# What is stored of it beside how it is answered.
_OWN = ("items", "before", "instructions", "said", "truncates", "search")


@dataclass(frozen=True, slots=True)
class Asked:
    """The items that are to be answered, those `before` them, and how; `answer` has no turns of its own.

    `previous` is the response, or `conversation` the conversation, that this one goes on from: the items of either come
    before these, once it has been looked up.
    With `truncates`, the oldest turns are dropped where the model has no room for all. `said` is what the client said
    of it, as it is told again. `search` is what is looked for in vector stores first.
    """

    items: tuple[Item, ...]
    answer: Generation = field(default_factory=Generation)
    instructions: str | None = None
    said: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[Item, ...] = ()
    previous: uuid.UUID | None = None
    conversation: uuid.UUID | None = None
    truncates: bool = False
    search: FileSearch | None = None

    def to_json(self) -> Stored:
        how = self.answer.to_json()
        own = {
            "items": list(self.items),
            "before": list(self.before) or None,
            "instructions": self.instructions,
            "said": dict(self.said),
            "truncates": self.truncates or None,
            "search": None if self.search is None else self.search.to_json(),
        }
        return Stored({**how.input, **{name: each for name, each in own.items() if each is not None}}, how.params)

    @property
    def told(self) -> dict[str, Any]:
        """What the client said of it, with the instructions."""
        return {**self.said, "instructions": self.instructions}

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What was said. Where nothing was, a user who says nothing: the model opens the conversation."""
        said = items.turns([*self.before, *self.items])
        return said or (() if self.instructions else (Turn("user", (Text(""),)),))

    @property
    def question(self) -> str:
        """What a user said last, which is looked for in vector stores."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def first(self) -> tuple[Turn, ...]:
        """What stands before all turns."""
        return (Turn("system", (Text(self.instructions),)),) if self.instructions else ()

    @property
    def starts(self) -> list[int]:
        """The places of all its items from which on the model may read: a user's, or what is asked now, if that says
        something. No function's output is torn from its call."""
        asked_now = len(self.before) if items.turns(self.items) else 0
        return items.starts([*self.before, *self.items], asked_now)

    def begun(self, start: int) -> "Asked":
        """Without the items before that place."""
        dropped = min(start, len(self.before))
        return replace(self, before=self.before[dropped:], items=self.items[start - dropped :])


class ResponseKind(Answering[Asked]):
    name = responses.TYPE
    serves = "chat"
    converses = True  # what comes of it is put into its conversation

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
            search=FileSearch.from_json(given["search"]) if "search" in given else None,
        )

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Asked]) -> Plan:
        """Raises like every kind; `PreviousResponseMissing`, `ConversationMissing`, `ConversationFull`, and
        `InvalidField` for items that aren't there, or calls without their outputs."""
        model = choosing.model_for(models, self.serves, asked.model)
        choosing.refuse_what_it_lacks(model, asked.request.answer.given())
        job_id = ids.new()
        conversation = asked.request.conversation if self.converses else None
        if conversation is not None:
            preceding.refuse_full(session, caller, conversation)  # before all that is in a full one is read
        whole = _whole(session, caller, asked.request)
        if conversation is not None:
            coming = responses.inputs(job_id, whole.items)
            preceding.refuse_full(session, caller, conversation, coming)
        if asked.request.items and not items.turns([*whole.before, *whole.items]):
            raise errors.InvalidField("input", "has no item that a model reads")
        _refuse_loose_ends(whole)
        request = _fitting(model, whole)
        if not request.question:
            request = replace(request, search=None)
        stage, queue = stages.GENERATE, model.name
        if request.search is not None:
            stage, queue = stages.SEARCH_STORES, _embedder(session, models, caller, request, request.search)
        planned = replace(asked, request=request)
        return Plan(planned, stage, queue, model.name, job_id=job_id, conversation_id=conversation)

    def again(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Asked], old: Job) -> Plan:
        """What the old one was asked, after what was before it then; it is put into the same conversation. Raises
        `ConversationMissing`, `ConversationFull`, `InvalidField` where it can't be."""
        plan = self.plan(session, models, caller, asked)
        if old.conversation_id is None:
            return plan
        assert plan.job_id is not None
        own = responses.inputs(plan.job_id, asked.request.items)
        preceding.refuse_full(session, caller, old.conversation_id, own)
        preceding.refuse_twice(own, preceding.conversed(session, caller, old.conversation_id))
        return replace(plan, conversation_id=old.conversation_id)

    def compose(self, request: Asked, stage_input: Mapping[str, Any], context: int, measure: Measure) -> Composed:
        start = _start(request, context, measure) if request.truncates else 0
        if request.search is None:
            return Composed(_put(request, start))
        passages = _fitting_passages(request, start, stage_input.get("passages", []), context, measure)
        return Composed(_put(request, start, passages), passages, request.question)

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        [answer] = answers
        if answer.question is None:
            return chat.said(answer)
        # Text before a call was told whole, without any, before it was known how the answer ends.
        noted = [] if answer.tool_calls else searching.annotations(answer.text, answer.passages, answer.question)
        found = {"question": answer.question, "passages": answer.passages, "annotations": noted}
        return {**chat.said(answer), **found}


def _put(request: Asked, start: int, passages: Sequence[Passage] = ()) -> Generation:
    """What the model is asked: the items from that place on, the user's last with the passages."""
    turns = list(request.begun(start).turns)
    if passages:
        last = max(place for place, turn in enumerate(turns) if turn.role == "user")
        turns[last] = replace(turns[last], parts=(Text(questions.prompt(turns[last].text, passages)),))
    return replace(request.answer, turns=(*request.first, *turns))


def _start(request: Asked, context: int, measure: Measure) -> int:
    """From which item on all has room; only the oldest are dropped."""
    room = min(request.answer.max_tokens or _LEAST_ROOM, _LEAST_ROOM, context // 4)
    starts = request.starts
    return starts[_first(starts, lambda start: _measured(measure, _put(request, start)) <= context - room)]


def _fitting_passages(
    request: Asked, start: int, found: Sequence[Passage], context: int, measure: Measure
) -> list[Passage]:
    """As many of the passages, the best first, as leave room for the answer; none where not even one does."""
    budget = context - questions.room(request.answer.max_tokens, context)
    most = questions.most(len(found), lambda count: _measured(measure, _put(request, start, found[:count])) <= budget)
    return list(found[:most])


def _embedder(session: Session, models: Catalog, caller: Caller, asked: Asked, search: FileSearch) -> str:
    """The model of the first store's vectors. Raises `InvalidField` for a store that can't be searched."""
    tools = asked.said.get("tools", ())
    path = f"tools.{next((n for n, tool in enumerate(tools) if tool.get('type') == 'file_search'), 0)}.vector_store_ids"
    targets = searching.targets(session, caller, search, path)
    for number, target in enumerate(targets):
        if target.model not in models:
            raise errors.InvalidField(f"{path}.{number}", f"its model {target.model!r} is no longer served")
    return targets[0].model


def _whole(session: Session, caller: Caller, asked: Asked) -> Asked:
    """What is asked, with all that comes before it. Raises `PreviousResponseMissing`, `ConversationMissing`,
    `InvalidField`."""
    before: Sequence[Item] = asked.before
    if asked.previous is not None:
        before = [*before, *preceding.chain(session, caller, asked.previous)]
    elif asked.conversation is not None:
        before = preceding.conversed(session, caller, asked.conversation)
    own = tuple(preceding.referred(session, caller, asked.items, before))
    preceding.refuse_twice(own, before if asked.conversation is not None else ())
    return replace(asked, items=own, before=tuple(items.read(before)))


def _refuse_loose_ends(asked: Asked) -> None:
    """Raises `InvalidField` where a function's call and its output aren't both there."""
    found = items.loose_end([*asked.before, *asked.items])
    if found is not None:
        raise errors.InvalidField("input", found)


def _fitting(model: Model, asked: Asked) -> Asked:
    """What is asked; without the oldest of what was said before where that is too much and may be dropped.

    Raises `PromptTooLong`, and `InvalidField` where too much was said before.
    """
    sizes = itertools.accumulate((conversations.size(item) for item in reversed(asked.before)), initial=0)
    bytes_from = list(sizes)[::-1]  # of what was said before, from each place on

    def refuse(start: int) -> None:
        if len(asked.before) - start > preceding.MAX_ITEMS:
            raise errors.InvalidField("input", f"more than {preceding.MAX_ITEMS} items were said before")
        if bytes_from[start] > preceding.MAX_BYTES:
            raise errors.InvalidField("input", f"what was said before has more than {preceding.MAX_BYTES} bytes")
        choosing.refuse_what_cannot_fit(model, "input", *_words(asked.begun(start)))

    starts = [start for start in asked.starts if start <= len(asked.before)] if asked.truncates else [0]
    start = starts[_first(starts, lambda start: _passes(refuse, start))]
    refuse(start)
    return asked.begun(start)


def _passes(refuse: Callable[[int], None], start: int) -> bool:
    try:
        refuse(start)
    except errors.InvalidField:
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
