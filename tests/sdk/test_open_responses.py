"""Open Responses: what its acceptance tests ask of a server, restated (https://www.openresponses.org/compliance).

Its form of a response is stricter than OpenAI's: settings that nobody gave are told as numbers, never as null.
"""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import jsonschema
import pytest

from tests.support import catalogs, waiting
from tests.support.platform import Stack

MODEL = "echo"  # comes to an end by itself, whatever it is asked
CALLING = "demo-chat"

NUMBER, INTEGER, TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}
OR_NULL: dict[str, Any] = {
    "integer": {"type": ["integer", "null"]},
    "text": {"type": ["string", "null"]},
    "object": {"type": ["object", "null"]},
}


def of(**properties: Any) -> dict[str, Any]:
    """An object that has all of these."""
    return {"type": "object", "required": list(properties), "properties": properties}


def some(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


STATUS = {"enum": ["in_progress", "completed", "incomplete"]}
SAID = of(type={"const": "output_text"}, text=TEXT, annotations={"type": "array"}, logprobs={"type": ["array", "null"]})
ITEMS = {
    "message": of(type=TEXT, id=TEXT, status=STATUS, role={"const": "assistant"}, content=some(SAID)),
    "function_call": of(type=TEXT, id=TEXT, call_id=TEXT, name=TEXT, arguments=TEXT, status=STATUS),
    "file_search_call": of(type=TEXT, id=TEXT, status=TEXT, queries=some(TEXT)),
}
ITEM = {
    "oneOf": [
        {**schema, "properties": schema["properties"] | {"type": {"const": type}}} for type, schema in ITEMS.items()
    ]
}
TOOL = of(type={"enum": ["function", "file_search"]})
USAGE = of(
    input_tokens=INTEGER,
    output_tokens=INTEGER,
    total_tokens=INTEGER,
    input_tokens_details=of(cached_tokens=INTEGER),
    output_tokens_details=of(reasoning_tokens=INTEGER),
)
RESPONSE = of(
    id=TEXT,
    object={"const": "response"},
    created_at=INTEGER,
    completed_at=OR_NULL["integer"],
    status={"enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]},
    incomplete_details=OR_NULL["object"],
    model=TEXT,
    previous_response_id=OR_NULL["text"],
    instructions=OR_NULL["text"],
    output=some(ITEM),
    error=OR_NULL["object"],
    tools=some(TOOL),
    tool_choice={"type": ["string", "object"]},
    truncation={"enum": ["auto", "disabled"]},
    parallel_tool_calls={"type": "boolean"},
    text=of(format=of(type=TEXT)),
    top_p=NUMBER,
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
    top_logprobs=INTEGER,
    temperature=NUMBER,
    reasoning=OR_NULL["object"],
    usage={"oneOf": [USAGE, {"type": "null"}]},
    max_output_tokens=OR_NULL["integer"],
    max_tool_calls=OR_NULL["integer"],
    store={"type": "boolean"},
    background={"type": "boolean"},
    service_tier=TEXT,
    metadata={"type": "object"},
    safety_identifier=OR_NULL["text"],
    prompt_cache_key=OR_NULL["text"],
)

_NUMBERED = {"type": TEXT, "sequence_number": INTEGER}
_IN_ITEM = {**_NUMBERED, "item_id": TEXT, "output_index": INTEGER}
_IN_PART = {**_IN_ITEM, "content_index": INTEGER}
_LOGPROBS = {"type": "array"}
EVENTS = {
    **dict.fromkeys(
        (f"response.{name}" for name in ("created", "queued", "in_progress", "completed", "incomplete", "failed")),
        of(**_NUMBERED, response=RESPONSE),
    ),
    **dict.fromkeys(
        ("response.output_item.added", "response.output_item.done"), of(**_NUMBERED, output_index=INTEGER, item=ITEM)
    ),
    **dict.fromkeys(("response.content_part.added", "response.content_part.done"), of(**_IN_PART, part=SAID)),
    "response.output_text.delta": of(**_IN_PART, delta=TEXT, logprobs=_LOGPROBS),
    "response.output_text.done": of(**_IN_PART, text=TEXT, logprobs=_LOGPROBS),
    "response.output_text.annotation.added": of(**_IN_PART, annotation_index=INTEGER, annotation={"type": "object"}),
    "response.function_call_arguments.delta": of(**_IN_ITEM, delta=TEXT),
    "response.function_call_arguments.done": of(**_IN_ITEM, arguments=TEXT),
    **dict.fromkeys(
        (f"response.file_search_call.{name}" for name in ("in_progress", "searching", "completed")), of(**_IN_ITEM)
    ),
}

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather of a place",
    "parameters": {"type": "object", "properties": {"place": {"enum": ["Bern", "Basel"]}}, "required": ["place"]},
}


def message(content: Any, role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def posted(stack: Stack, **body: Any) -> httpx.Response:
    asked = {"model": MODEL, **body}
    return httpx.post(f"{stack.url}/v1/responses", headers=stack.headers, json=asked, timeout=90)


def answered(stack: Stack, **body: Any) -> dict[str, Any]:
    """A response in that form, which has ended well and says or wants something."""
    response = posted(stack, **body)
    assert response.status_code == 200, response.text
    return checked(response.json())


def checked(made: dict[str, Any]) -> dict[str, Any]:
    jsonschema.validate(made, RESPONSE)
    assert made["status"] == "completed"
    assert made["output"]
    return made


def streamed(stack: Stack, **body: Any) -> list[dict[str, Any]]:
    """The events, each in its form and named alike in both places; the last of which holds the whole response."""
    response = posted(stack, stream=True, **body)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    events = []
    for event in response.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
        if fields and fields["data"] != "[DONE]":
            events.append(json.loads(fields["data"]))
            assert fields["event"] == events[-1]["type"]
            jsonschema.validate(events[-1], EVENTS[fields["event"]])
    checked(events[-1]["response"])
    return events


def calls(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [item for item in made["output"] if item["type"] == "function_call"]


def test_a_message_is_answered(stack: Stack) -> None:
    answered(stack, input=[message("Say hello in three words.")])


def test_an_answer_is_streamed(stack: Stack) -> None:
    events = streamed(stack, input=[message("Count to five.")])
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_a_system_message_is_taken(stack: Stack) -> None:
    answered(stack, input=[message("You are a pirate.", "system"), message("Say hello.")])


def test_a_conversation_is_gone_on_with(stack: Stack) -> None:
    said = [message("I am Alice."), message("Hello Alice!", "assistant"), message("What is my name?")]
    answered(stack, input=said)


def test_a_response_goes_on_from_another(stack: Stack) -> None:
    first = answered(stack, input="Remember the word papaya.")
    second = answered(stack, input="Which word?", previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]


def test_a_function_is_called(stack: Stack) -> None:
    """The demo model calls one where it must; whether it wants to is a model's affair."""
    made = answered(stack, model=CALLING, input=[message("The weather?")], tools=[WEATHER], tool_choice="required")
    assert {call["name"] for call in calls(made)} == {"get_weather"}


def test_a_call_of_a_function_is_streamed(stack: Stack) -> None:
    asked = {"model": CALLING, "tools": [WEATHER], "tool_choice": "required"}
    events = streamed(stack, input=[message("The weather?")], **asked)
    items = {event["type"] for event in events if event.get("item", {}).get("type") == "function_call"}
    assert items == {"response.output_item.added", "response.output_item.done"}
    pieces = [event["delta"] for event in events if event["type"] == "response.function_call_arguments.delta"]
    whole = [event["arguments"] for event in events if event["type"] == "response.function_call_arguments.done"]
    assert "".join(pieces) == "".join(whole)
    assert whole


def test_the_output_of_a_function_is_answered(stack: Stack) -> None:
    choice = {"type": "function", "name": "get_weather"}
    made = answered(stack, model=CALLING, input="The weather?", tools=[WEATHER], tool_choice=choice)
    output = {"type": "function_call_output", "call_id": calls(made)[0]["call_id"], "output": "18 degrees"}
    answered(stack, previous_response_id=made["id"], input=[output])


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}, "input.0.content.1"),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            "input.0.content.1",
        ),
    ],
)
def test_what_no_model_here_can_see_is_refused_by_name(stack: Stack, part: dict[str, Any], param: str) -> None:
    """Two of the suite's cases need a model that sees; ours are told of, never answered as if they weren't there."""
    refused = posted(stack, input=[message([{"type": "input_text", "text": "What is it?"}, part])])
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith(param)


@catalogs.without_embedding_model
def test_files_are_searched(stack: Stack) -> None:
    """What was found is told where that is asked for."""

    def ask(method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = httpx.request(method, f"{stack.url}/v1/{path}", headers=stack.headers, timeout=60, **options)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    given = {"file": ("harbour.txt", b"The code of the harbour is nineteen.")}
    file = ask("POST", "files", data={"purpose": "assistants"}, files=given)
    store = ask("POST", "vector_stores", json={"file_ids": [file["id"]]})
    waiting.until(lambda: ask("GET", f"vector_stores/{store['id']}")["file_counts"]["completed"] == 1)
    response = posted(
        stack,
        model=CALLING,
        input="What is the code of the harbour?",
        tools=[{"type": "file_search", "vector_store_ids": [store["id"]]}],
        tool_choice={"type": "file_search"},
        include=["file_search_call.results"],
    )
    made = response.json()
    jsonschema.validate(made, RESPONSE)  # whether the model comes to an end is its affair
    [search] = [item for item in made["output"] if item["type"] == "file_search_call"]
    assert [found["file_id"] for found in search["results"]] == [file["id"]]
