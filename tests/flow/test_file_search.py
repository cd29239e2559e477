"""`file_search` in responses: what is found in vector stores, told, and cited where an answer rests on it."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.support.catalogs import without_embedding_model
from tests.support.platform import Stack

HARBOUR = b"The code of the harbour is 19.\n\nClara works as a nurse."
ASKED = "What is the code of the harbour?"
ANSWER = "The code of the harbour is 19."

pytestmark = without_embedding_model


@pytest.fixture(scope="module")
def sdk(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=70) as client:
        yield client


def filled(sdk: OpenAI, name: str, raw: bytes, **attributes: Any) -> tuple[str, str]:
    """A store with one file, and the file."""
    file_id = sdk.files.create(file=(name, raw), purpose="assistants").id
    store = sdk.vector_stores.create().id
    done = sdk.vector_stores.files.create_and_poll(
        file_id, vector_store_id=store, attributes=attributes, poll_interval_ms=100
    )
    assert done.status == "completed"
    return store, file_id


@pytest.fixture(scope="module")
def stores(sdk: OpenAI) -> list[tuple[str, str]]:
    return [
        filled(sdk, "harbour.txt", HARBOUR, year=2026),
        filled(sdk, "boat.txt", b"The boat costs 42 coins.", year=2020),
    ]


@pytest.fixture(scope="module")
def tool(stores: list[tuple[str, str]]) -> dict[str, Any]:
    return {"type": "file_search", "vector_store_ids": [store for store, _ in stores]}


def ask(sdk: OpenAI, tool: Any, **more: Any) -> Any:
    given = {"model": "demo-chat", "input": ASKED, "temperature": 0, "max_output_tokens": 40, **more}
    return sdk.responses.create(tools=[tool], **given)


def test_answer_is_written_from_what_was_found_and_cites_it(
    sdk: OpenAI, stores: list[tuple[str, str]], tool: dict[str, Any]
) -> None:
    """Of two stores the file that says it is cited, at the end of the sentence that rests on it; the other isn't."""
    response = ask(sdk, tool, include=["file_search_call.results"])
    search, message = response.output
    assert (search.type, search.status, search.queries) == ("file_search_call", "completed", [ASKED])
    assert search.results[0].filename == "harbour.txt"
    assert search.results[0].attributes == {"year": 2026}
    assert response.output_text == ANSWER
    [citation] = message.content[0].annotations
    assert (citation.type, citation.file_id, citation.filename) == ("file_citation", stores[0][1], "harbour.txt")
    assert response.output_text[: citation.index] == ANSWER
    again = sdk.responses.retrieve(response.id)
    assert again.output == response.output


def test_results_are_told_to_those_who_ask_for_them(sdk: OpenAI, tool: dict[str, Any]) -> None:
    """When they ask for the response, or look at it or its events."""
    made = ask(sdk, tool)
    assert made.output[0].results is None
    include: Any = {"include": ["file_search_call.results"]}
    assert sdk.responses.retrieve(made.id).output[0].results is None  # type: ignore[union-attr]
    looked = sdk.responses.retrieve(made.id, **include)
    assert looked.output[0].results[0].filename == "harbour.txt"  # type: ignore[union-attr, index]
    assert list(sdk.responses.retrieve(made.id, stream=True, **include))[-1].response == looked  # type: ignore[union-attr]


def test_events_of_a_search_come_before_the_answer(sdk: OpenAI, tool: dict[str, Any]) -> None:
    """Their numbers have no gap, and who reads them again later reads the same."""
    events = list(ask(sdk, tool, stream=True, background=True))
    types = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    first = types.index("response.output_item.added")
    assert types[first : first + 5] == [
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
    ]
    noted = types.index("response.output_text.annotation.added")
    assert types[noted + 1] == "response.output_text.done"
    assert events[noted].annotation.filename == "harbour.txt"
    whole = events[-1].response  # type: ignore[union-attr]
    assert [item.type for item in whole.output] == ["file_search_call", "message"]
    again = list(sdk.responses.retrieve(whole.id, stream=True, starting_after=first))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events[first + 1 :]]


def test_search_is_narrowed_as_its_tool_says(sdk: OpenAI, tool: dict[str, Any]) -> None:
    """What nothing is found for is answered all the same, and nothing is cited."""
    old = {"type": "eq", "key": "year", "value": 2020}
    narrowed = tool | {"filters": old, "ranking_options": {"score_threshold": 0}}
    results = ask(sdk, narrowed, include=["file_search_call.results"]).output[0].results
    assert [one.filename for one in results] == ["boat.txt"]
    nothing = ask(sdk, tool | {"ranking_options": {"score_threshold": 0.99}}, include=["file_search_call.results"])
    assert nothing.output[0].results == []
    assert nothing.output[1].content[0].annotations == []


@pytest.mark.parametrize(
    ("choice", "searched"),
    [("none", False), ("auto", True), ("required", True), ({"type": "file_search"}, True)],
)
def test_choice_says_whether_there_is_a_search(sdk: OpenAI, tool: dict[str, Any], choice: Any, searched: bool) -> None:
    response = ask(sdk, tool, tool_choice=choice)
    assert [item.type for item in response.output] == ["file_search_call", "message"][not searched :]


def test_question_that_goes_on_is_searched_too(sdk: OpenAI, tool: dict[str, Any]) -> None:
    first = ask(sdk, tool, input="Hello")
    second = ask(sdk, tool, previous_response_id=first.id)
    assert second.output[0].queries == [ASKED]
    assert [item.type for item in sdk.responses.input_items.list(second.id)] == ["message"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"vector_store_ids": []}, "tools.0.vector_store_ids"),
        ({"vector_store_ids": ["vs_1"]}, "tools.0.vector_store_ids.0"),
        ({"vector_store_ids": ["vs_" + "0" * 32]}, "tools.0.vector_store_ids.0"),
        ({"max_num_results": 51}, "tools.0.max_num_results"),
        ({"filters": {"type": "like"}}, "tools.0.filters"),
        ({"ranking_options": {"ranker": "alpha"}}, "tools.0.ranking_options.ranker"),
    ],
)
def test_wrong_tool_is_refused_by_its_part(sdk: OpenAI, tool: dict[str, Any], changes: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(sdk, tool | changes)
    assert refused.value.param == param
