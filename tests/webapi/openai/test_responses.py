"""`/v1/responses` as OpenAI's client asks it, answered by the demo model."""

from collections.abc import Sequence
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response

from tests.webapi.openai.conftest import CHAT, SLOW, Jobs

DRAWN: Any = {"model": CHAT, "input": "Tell me a story about Anna.", "max_output_tokens": 12, "temperature": 0}


def asked(sdk: OpenAI, **changes: Any) -> Response:
    made = sdk.responses.create(**{**DRAWN, **changes})
    assert isinstance(made, Response)
    return made


def test_an_answer_is_its_jobs(sdk: OpenAI, jobs: Jobs) -> None:
    """Text, end and tokens are those of the job that the response is named after."""
    made = asked(sdk)
    job = jobs.get(f"job_{made.id.removeprefix('resp_')}")
    assert made.output_text == job["result"]["message"]["content"]
    assert (job["type"], made.model, made.object) == ("response", job["model"], "response")
    assert (made.status, made.incomplete_details and made.incomplete_details.reason) == (
        "incomplete",
        "max_output_tokens",
    )
    assert made.usage is not None
    assert (made.usage.output_tokens, made.usage.total_tokens) == (12, made.usage.input_tokens + 12)
    assert (made.error, made.background, made.store, made.previous_response_id) == (None, False, True, None)


def test_it_is_found_again(sdk: OpenAI) -> None:
    """What is looked at later is what was answered."""
    made = asked(sdk, metadata={"topic": "stories"}, instructions="Be short.", user="u", top_p=0.9)
    assert sdk.responses.retrieve(made.id) == made
    assert (made.instructions, made.metadata, made.user, made.top_p) == ("Be short.", {"topic": "stories"}, "u", 0.9)


def test_what_is_not_stored_is_not_found(sdk: OpenAI) -> None:
    made = asked(sdk, store=False)
    for look in (sdk.responses.retrieve, sdk.responses.delete, sdk.responses.input_items.list):
        with pytest.raises(NotFoundError):
            look(made.id)
    with pytest.raises(BadRequestError) as refused:
        asked(sdk, previous_response_id=made.id)
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


def tokens_of(sdk: OpenAI, turns: Sequence[str], **more: Any) -> int:
    """How many tokens these are as messages of a user and, from the second on by turns, an assistant."""
    said: Any = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(turns)]
    return sdk.responses.input_tokens.count(model=SLOW, input=said, **more).input_tokens


def test_a_response_goes_on_from_another(sdk: OpenAI) -> None:
    """The model reads what was asked and answered before; the older instructions it doesn't."""
    first = asked(sdk, model=SLOW, input="one", instructions="old", max_output_tokens=None)
    second = asked(sdk, model=SLOW, input="two", previous_response_id=first.id, max_output_tokens=None)
    third = asked(sdk, model=SLOW, input="three", previous_response_id=second.id, max_output_tokens=None)
    assert "one" in first.output_text
    assert third.usage is not None
    turns = ["one", first.output_text, "two", second.output_text, "three"]
    assert third.usage.input_tokens == tokens_of(sdk, turns) < tokens_of(sdk, turns, instructions="old")
    sdk.responses.delete(first.id)
    assert sdk.responses.retrieve(second.id).previous_response_id == first.id


def test_items_are_listed_by_pages(sdk: OpenAI) -> None:
    """Newest first, or in their order; after one of them."""
    made = asked(
        sdk,
        input=[
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hello, who are you?"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "I am Anna."}]},
        ],
    )
    first = sdk.responses.input_items.list(made.id, limit=2, order="asc")
    assert (first.has_more, [item.id for item in first.data]) == (True, [first.first_id, first.last_id])
    assert [item.content[0].text for item in sdk.responses.input_items.list(made.id, order="asc")] == [  # type: ignore[union-attr]
        "Hello.",
        "Hello, who are you?",
        "I am Anna.",
    ]
    rest = sdk.responses.input_items.list(made.id, after=first.last_id, order="asc")
    assert len(rest.data) == 1
    assert sdk.responses.input_items.list(made.id).data[0].id == rest.data[0].id


def test_a_reference_names_another_responses_item(sdk: OpenAI) -> None:
    """What was asked there, or what came of it."""
    first = asked(sdk, model=SLOW, input="one two three", max_output_tokens=None)
    question = sdk.responses.input_items.list(first.id).data[0].id
    named: Any = [{"type": "item_reference", "id": id} for id in (question, first.output[0].id)]
    second = asked(sdk, model=SLOW, input=[*named, {"role": "user", "content": "four"}], max_output_tokens=None)
    whole = asked(sdk, model=SLOW, input="four", previous_response_id=first.id, max_output_tokens=None)
    assert second.usage and whole.usage  # noqa: PT018
    assert second.usage.input_tokens == whole.usage.input_tokens


def test_it_is_erased(sdk: OpenAI, jobs: Jobs) -> None:
    """With all that was asked and said."""
    made = asked(sdk)
    job_id = f"job_{made.id.removeprefix('resp_')}"
    assert (jobs.rows_of(job_id), jobs.has_stream(job_id)) == ([1, 1, 0, 1], True)
    sdk.responses.delete(made.id)
    with pytest.raises(NotFoundError):
        sdk.responses.retrieve(made.id)
    assert (jobs.rows_of(job_id), jobs.has_stream(job_id)) == ([0, 0, 0, 0], False)


def test_tokens_are_counted_exactly(sdk: OpenAI) -> None:
    """As many as the answer's prompt has, with all that goes before it."""
    first = asked(sdk, instructions="Be short.")
    assert first.usage is not None
    said: Any = {"model": CHAT, "input": DRAWN["input"], "instructions": "Be short."}
    assert sdk.responses.input_tokens.count(**said).input_tokens == first.usage.input_tokens
    second = asked(sdk, input="And then?", previous_response_id=first.id)
    assert second.usage is not None
    counted = sdk.responses.input_tokens.count(model=CHAT, input="And then?", previous_response_id=first.id)
    assert counted.to_dict() == {"object": "response.input_tokens", "input_tokens": second.usage.input_tokens}


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}]},
            "input.0.content.0.type",
        ),
        ({"input": [{"type": "computer_call_output"}]}, "input.0.type"),
        ({"input": [{"type": "item_reference", "id": "msg_123"}]}, "input.0.id"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"verbosity": "high"}}, "text.verbosity"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"background": True, "store": False}, "background"),
        ({"previous_response_id": "resp_123"}, "previous_response_id"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"include": ["all"]}, "include.0"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(sdk: OpenAI, changed: dict[str, Any], param: str) -> None:
    """Before anything is queued."""
    with pytest.raises(BadRequestError) as refused:
        asked(sdk, **changed)
    assert refused.value.param == param


def test_a_response_goes_on_with_a_conversation(sdk: OpenAI) -> None:
    """What was asked and what came of it are in there when it has ended; what is in there is read."""
    conversation = sdk.conversations.create(items=[{"type": "message", "role": "user", "content": "zero"}])
    asked_of: Any = {"model": SLOW, "conversation": conversation.id, "max_output_tokens": None}
    first = asked(sdk, input="one", **asked_of)
    assert first.conversation is not None
    assert first.conversation.id == conversation.id
    said = [item.to_dict() for item in sdk.conversations.items.list(conversation.id, order="asc")]
    assert [(item["role"], item["content"][0]["text"]) for item in said] == [  # type: ignore[index]
        ("user", "zero"),
        ("user", "one"),
        ("assistant", first.output_text),
    ]
    assert said[2]["id"] == first.output[0].id
    second = asked(sdk, input="two", **asked_of | {"conversation": {"id": conversation.id}})
    assert second.usage is not None
    whole: Any = [*({"role": item["role"], "content": item["content"][0]["text"]} for item in said)]  # type: ignore[index]
    whole.append({"role": "user", "content": "two"})
    read = sdk.responses.input_tokens.count(model=SLOW, input=whole).input_tokens
    assert second.usage.input_tokens == read
    assert len(list(sdk.conversations.items.list(conversation.id))) == 5
    sdk.conversations.delete(conversation.id)
    with pytest.raises(NotFoundError) as refused:
        asked(sdk, input="four", **asked_of)
    assert refused.value.param == "conversation"


def test_where_nothing_is_asked_the_model_opens_the_conversation(sdk: OpenAI) -> None:
    """As OpenAI's own tests ask, and its count of tokens too."""
    assert sdk.responses.create(extra_body={"max_output_tokens": 2}).status in ("completed", "incomplete")
    assert sdk.responses.input_tokens.count().input_tokens > 0


def test_what_a_search_found_is_told_of_items_when_it_is_asked_for(sdk: OpenAI) -> None:
    found = {"file_id": "file-1", "filename": "a.txt", "score": 0.5, "text": "high", "attributes": {}}
    search = {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["tide"], "results": [found]}
    made = asked(sdk, input=[search, {"role": "user", "content": "Hello."}])
    plainly, told = (
        sdk.responses.input_items.list(made.id, order="asc", include=include).data[0].to_dict()
        for include in ([], ["file_search_call.results"])  # type: ignore[misc]
    )
    assert (plainly["results"], told["results"]) == (None, [found])
