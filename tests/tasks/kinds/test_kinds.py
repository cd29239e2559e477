"""Each kind of job: what an earlier version stored of it is read, planned, and asked again."""

from dataclasses import dataclass
from typing import Any

import pytest

from db.session import Sessions
from tasks import errors, ids, kinds
from tasks.batches.batches import NewBatch
from tasks.documents.followups import Said
from tasks.jobs.requests import Plan, Request, Stored, Submission
from tasks.keys import Caller
from tasks.kinds import KINDS, kind
from tasks.kinds.batch import BatchRequest
from tasks.kinds.batch_check import BatchCheck
from tasks.kinds.embed import Embedding
from tasks.kinds.generation import Answer, Generation, Shape, Text, Tool, ToolCall, Turn
from tasks.kinds.ingest import Ingest
from tasks.kinds.kind import Composed
from tasks.kinds.moderate import Moderation
from tasks.kinds.rag import Question, RagKind
from tasks.kinds.reembed import Reembedding
from tasks.kinds.rerank import Reranking
from tasks.kinds.response import Asked
from tasks.kinds.sampling import Sampling
from tasks.kinds.summary import OneDocument, Step, Summary
from tasks.models import catalog
from tasks.summaries.manner import Manner
from tasks.summaries.prompts import Purpose
from tests import shelves, tables

DOCUMENTS = (ids.new(), ids.new())
BOOKS = ids.new()

OF_ANSWERS = ("moderate", "summary", "count", "count_chat")  # whose results are made of what the model answers

ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "one"}]}

OF_CONTROL = ("batch", "batch_check")

# What the versions before wrote of a request, and what they mean.
STORED: dict[str, tuple[dict[str, Any], dict[str, Any], Request]] = {
    "generate": ({"prompt": "one"}, {"top_k": 1}, Generation(prompt="one", sampling=Sampling(top_k=1))),
    "chat": (
        {"messages": [{"role": "user", "content": "one"}]},
        {},
        Generation(turns=(Turn("user", (Text("one"),)),)),
    ),
    "embed": ({"texts": ["one", "two"]}, {}, Embedding(("one", "two"))),
    "rerank": ({"query": "Who?", "documents": ["one", "two"]}, {}, Reranking("Who?", ("one", "two"))),
    "rag": (
        {"question": "Who?", "collection": "books"},
        {"max_tokens": 9},
        Question("Who?", "books", 5, Generation(max_tokens=9)),
    ),
    "ingest": (
        {"collection": "books", "documents": [ids.show(id, ids.DOCUMENT) for id in DOCUMENTS]},
        {},
        Ingest("books", documents=DOCUMENTS),
    ),
    "response": (
        {"items": [ITEM], "said": {"user": "u"}, "instructions": "Be short.", "before": [ITEM], "truncates": True},
        {"max_tokens": 9},
        Asked((ITEM,), Generation(max_tokens=9), "Be short.", {"user": "u"}, (ITEM,), truncates=True),
    ),
    "batch": (
        {"input_file_id": ids.show(BOOKS, ids.FILE), "endpoint": "/v1/responses"},
        {"completion_window": "2h", "window_s": 7200},
        BatchRequest(NewBatch("/v1/responses", BOOKS, "2h", 7200)),
    ),
    "batch_check": (
        {"input_file_id": ids.show(BOOKS, ids.FILE), "endpoint": "/v1/responses"},
        {},
        BatchCheck("/v1/responses", BOOKS),
    ),
    "count": ({"items": [ITEM], "said": {}}, {}, Asked((ITEM,))),
    "count_chat": (
        {"messages": [{"role": "user", "content": "one"}]},
        {},
        Generation(turns=(Turn("user", (Text("one"),)),)),
    ),
    "compact": ({"items": [ITEM], "said": {}}, {}, Asked((ITEM,))),
    "reembed": ({"collection": "books", "collection_id": str(BOOKS)}, {}, Reembedding("books", BOOKS)),
    "moderate": ({"texts": ["one", "two"]}, {}, Moderation(("one", "two"))),
    "summary": (
        {"documents": [ids.show(id, ids.DOCUMENT) for id in DOCUMENTS]},
        {"style": "bullets", "words": 40},
        Summary(Manner("bullets", words=40), DOCUMENTS),
    ),
}


def plan(sessions: Sessions, caller: Caller, type: str, model: str | None, request: Request) -> Plan:
    with sessions.begin() as session:
        return tables.plan(session, caller, Submission(type, model, request))


@pytest.mark.parametrize("name", KINDS)
def test_what_an_earlier_version_stored_is_read(name: str) -> None:
    """And means the same once it has been stored anew, as a retry does."""
    given, params, meant = STORED[name]
    read = KINDS[name].parse(Stored(given, params))
    assert read == meant
    assert KINDS[name].parse(read.to_json()) == meant


def test_embedding_keeps_what_its_texts_are() -> None:
    """A job that embeds a question for a search tells the worker so."""
    asked = Embedding(("Who?",), "query")
    assert KINDS["embed"].parse(asked.to_json()) == asked


def test_question_keeps_how_many_passages_it_wants() -> None:
    """Five where it doesn't say."""
    given = {"question": "Who?", "collection": "books", "top_k": 2}
    assert KINDS["rag"].parse(Stored(given, {})).to_json().input == given


@pytest.mark.parametrize("name", KINDS)
def test_kind_needs_something_that_models_can_serve(name: str) -> None:
    """A name that the catalogue knows; those that the control worker does alone need none."""
    assert KINDS[name].name == name
    assert KINDS[name].serves in (*catalog.TYPES, *([None] if name in OF_CONTROL else []))


@pytest.mark.parametrize(
    ("type", "request_", "planned"),
    [
        ("generate", Generation(prompt="one"), ("generate", "beta", "beta")),
        ("chat", Generation(turns=(Turn("user", (Text("one"),)),)), ("generate", "alpha", "alpha")),
        ("embed", Embedding(("one",)), ("embed", "embedder", "embedder")),
        ("embed", Embedding(("one",) * 17), ("embed_many", "embedder", "embedder")),
    ],
)
def test_one_models_work_is_planned_on_its_default(
    sessions: Sessions, caller: Caller, type: str, request_: Request, planned: tuple[str, str, str]
) -> None:
    """Many texts are a stage of their own, so that they don't take every slot."""
    made = plan(sessions, caller, type, None, request_)
    assert (made.stage, made.queue, made.model) == planned


def test_question_waits_for_the_collections_model_first(sessions: Sessions, caller: Caller) -> None:
    """The model that clients see is the one that answers."""
    with sessions.begin() as session:
        shelves.collection(session, caller.tenant_id)
    made = plan(sessions, caller, "rag", None, Question("Who?", "books"))
    assert (made.stage, made.queue, made.model) == ("retrieve", "embedder", "alpha")
    with pytest.raises(errors.InvalidField) as caught:
        plan(sessions, caller, "rag", None, Question("Who?", "none"))
    assert caught.value.field == "input.collection"


LONG = "x" * (tables.MODELS["alpha"].context * 32 + 1)  # two of them can't fit


@pytest.mark.parametrize(
    ("type", "request_", "field"),
    [
        ("generate", Generation(prompt=LONG + LONG), "input.prompt"),
        ("chat", Generation(turns=(Turn("user", (Text(LONG),)), Turn("user", (Text(LONG),)))), "input.messages"),
        ("chat", Generation(turns=(Turn("assistant", ()), Turn("user", (Text(LONG), Text(LONG))))), "input.messages"),
        ("chat", Generation(turns=(Turn("assistant", (), (ToolCall("c", "f", LONG + LONG),)),)), "input.messages"),
        ("embed", Embedding(("one", LONG + LONG)), "input.texts.1"),
    ],
)
def test_what_can_never_fit_is_refused(
    sessions: Sessions, caller: Caller, type: str, request_: Request, field: str
) -> None:
    """By its bytes, in however many parts they come; a turn may have none."""
    with pytest.raises(errors.PromptTooLong) as caught:
        plan(sessions, caller, type, None, request_)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("how", "field"),
    [
        ({"tools": (Tool("look_up"),)}, "input.tools"),
        ({"shape": Shape()}, "params.shape"),
        ({"logit_bias": {1: -100.0}}, "params.logit_bias"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_by_name(
    sessions: Sessions, caller: Caller, how: dict[str, Any], field: str
) -> None:
    """Rather than answered as if it hadn't been said; in a question's answer too."""
    with sessions.begin() as session:
        shelves.collection(session, caller.tenant_id)
    chat = Generation(turns=(Turn("user", (Text("one"),)),), **how)
    for type, request in (("chat", chat), ("rag", Question("Who?", "books", answer=Generation(**how)))):
        with pytest.raises(errors.InvalidField) as caught:
            plan(sessions, caller, type, None, request)
        assert caught.value.field == field


def test_kind_that_no_model_serves_is_refused(sessions: Sessions, caller: Caller) -> None:
    """By its type, where the client named no model."""
    writers = {name: model for name, model in tables.MODELS.items() if not model.embeds}
    with sessions.begin() as session, pytest.raises(errors.ModelUnknown) as caught:
        kinds.plan(session, writers, caller, Submission("embed", None, Embedding(("one",))))
    assert caught.value.field == "type"


def test_answers_are_shown_as_their_kind_does() -> None:
    """A message for a conversation; a question's answer with what it rests on."""
    passages = [{"text": "one"}]
    shown = {}
    for name, each in KINDS.items():
        if isinstance(each, kind.Answering) and name not in OF_ANSWERS:
            shown[name] = each.result([Answer("Oscar.", "stop", passages)])
    assert shown == {
        "generate": {"text": "Oscar.", "finish_reason": "stop"},
        "chat": {"message": {"role": "assistant", "content": "Oscar."}, "finish_reason": "stop"},
        "response": {"message": {"role": "assistant", "content": "Oscar."}, "finish_reason": "stop"},
        "compact": {"message": {"role": "assistant", "content": "Oscar."}, "finish_reason": "stop"},
        "rag": {
            "text": "Oscar.",
            "finish_reason": "stop",
            "answered": True,
            "question": None,
            "passages": passages,
            "citations": [{"begins": 0, "ends": 6, "passages": []}],
        },
    }


def test_question_keeps_its_conversation_threshold_and_filter() -> None:
    """As a retry does; they are none of the answer's own turns."""
    said = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "Here."}]
    given = {"question": "Who?", "collection": "books", "top_k": 2, "messages": said, "threshold": 0.5}
    read = KINDS["rag"].parse(Stored({**given, "filter": {"year": 2026}}, {}))
    assert isinstance(read, Question)
    assert read.history == (Said("user", "Where is it?"), Said("assistant", "Here."))
    assert read.answer == Generation()
    assert KINDS["rag"].parse(read.to_json()) == read


def test_question_after_a_conversation_is_rewritten_first(sessions: Sessions, caller: Caller) -> None:
    with sessions.begin() as session:
        shelves.collection(session, caller.tenant_id)
    planned = [
        plan(sessions, caller, "rag", None, Question("Who?", "books", history=history))
        for history in ((), (Said("user", "Where?"),))
    ]
    assert [(one.stage, one.queue) for one in planned] == [("retrieve", "embedder"), ("rewrite", "alpha")]


def test_answer_that_refuses_is_none_and_rests_on_nothing() -> None:
    result = KINDS["rag"].result([Answer("The context does not say.", "stop", [{"text": "one"}], question="Who?")])  # type: ignore[attr-defined]
    assert (result["answered"], result["citations"], result["question"]) == (False, [], "Who?")


def asked_and_followed_up(instructed: bool) -> tuple[Composed, Composed]:
    """What a model is asked, and what it is to make of the follow-up before."""
    rag = KINDS["rag"]
    assert isinstance(rag, RagKind)
    answer = Generation(stop=("stop",))
    asked = Question("And the boat?", "books", history=(Said("user", "Where is the lamp?"),), answer=answer)
    found = {"passages": [{"text": "one"}], "question": "Where is the boat?"}
    measure = Reading(instructed)
    return rag.compose(asked, found, 4000, measure), rag.follow_up(asked, 4000, measure)


def test_question_and_follow_up_are_put_in_a_turn() -> None:
    answer, follow_up = asked_and_followed_up(instructed=True)
    for composed, said in ((answer, "Where is the boat?"), (follow_up, "And the boat?")):
        assert composed.generation.turns is not None
        [turn] = composed.generation.turns
        assert (turn.role, composed.plain) == ("user", False)
        assert turn.text.endswith(said)
    assert (answer.passages, answer.question) == ([{"text": "one"}], "Where is the boat?")


def test_model_that_was_never_instructed_is_shown_how_it_is_done() -> None:
    """Examples go before, and it goes on with the text to the end of the line; instructions are said once."""
    answer, follow_up = asked_and_followed_up(instructed=False)
    for composed, said in ((answer, "Where is the boat?"), (follow_up, "And the boat?")):
        prompt = composed.generation.prompt
        assert prompt is not None
        assert prompt.endswith(f"{said}\nAnswer:")
        assert prompt.count("\nAnswer:") == 4
        assert prompt.count(prompt.partition("\n")[0]) == 1
        assert (composed.plain, composed.generation.stop[-1]) == (True, "\n")
    assert answer.generation.stop == ("stop", "\n")


@dataclass(frozen=True)
class Reading:
    """A model that reads a token for each letter."""

    instructed: bool

    def __call__(self, asked: Generation) -> int:
        return len(asked.prompt or "") + sum(len(turn.text) for turn in asked.turns or ())


def test_summarys_document_and_step_are_read_as_they_were_stored() -> None:
    """The jobs of one family have one kind."""
    manner = Manner(instruction="List all prices.", language="German")
    step = Step(Purpose("part", last=False), manner, ("one", "two"), "Boats", told=True)
    for asked in (OneDocument(DOCUMENTS[0], manner), step):
        assert KINDS["summary"].parse(asked.to_json()) == asked
