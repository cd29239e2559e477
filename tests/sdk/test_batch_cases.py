"""What OGX's tests of batches ask for, restated: what is told of a request, a file or a single line that is wrong.

A request that is wrong makes no batch. A file that is wrong makes one that has failed, with an error for each line.
What goes wrong when a line runs is in the error file of a batch that is completed all the same. Where OpenAI makes a
batch of a file that is not there, only to have it fail, ours refuses the request. Windows of other lengths are taken,
and to cancel what has ended is no error: it is answered as it is.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI
from openai.types import Batch
from openai.types.batch_error import BatchError

from tests.support import catalogs, waiting

CHAT: Any = "/v1/chat/completions"
MODEL = "echo"
NOBODY = "batch_" + "0" * 32
ENDED = ("completed", "failed", "expired", "cancelled")


def body(**changes: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10, **changes}


def line(**changes: Any) -> dict[str, Any]:
    return {"custom_id": "one", "method": "POST", "url": CHAT, "body": body(), **changes}


def without(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key != name}


def brought(sdk: OpenAI, *lines: Mapping[str, Any] | str) -> str:
    """The id of a file of these lines."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
    return sdk.files.create(file=("in.jsonl", "\n".join(texts).encode()), purpose="batch").id


def begun(sdk: OpenAI, *lines: Mapping[str, Any] | str, **changes: Any) -> Batch:
    given = {"endpoint": CHAT, "completion_window": "24h", **changes}
    return sdk.batches.create(**{"input_file_id": brought(sdk, *lines), **given})


def ended(sdk: OpenAI, batch: Batch) -> Batch:
    waiting.until(lambda: sdk.batches.retrieve(batch.id).status in ENDED)
    return sdk.batches.retrieve(batch.id)


def failed(sdk: OpenAI, *lines: Mapping[str, Any] | str) -> list[BatchError]:
    """What is told of a batch's lines, none of which is run."""
    batch = ended(sdk, begun(sdk, *lines))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.failed_at
    assert batch.errors
    assert batch.errors.object == "list"
    return batch.errors.data or []


def test_a_batch_is_as_it_was_asked_for(sdk: OpenAI) -> None:
    """And listed, before and after it has ended."""
    metadata = {"purpose": "a test", "tags": "test,batch"}
    batch = begun(sdk, line(), metadata=metadata)
    assert (batch.object, batch.endpoint, batch.completion_window) == ("batch", CHAT, "24h")
    assert batch.metadata == metadata
    found = sdk.batches.retrieve(batch.id)
    for name in ("id", "object", "endpoint", "input_file_id", "completion_window", "metadata", "created_at"):
        assert getattr(found, name) == getattr(batch, name)
    assert batch.id in {one.id for one in sdk.batches.list().data}
    ended(sdk, batch)
    assert batch.id in {one.id for one in sdk.batches.list().data}


def test_a_batch_whose_file_is_deleted_is_still_listed(sdk: OpenAI) -> None:
    file_id = brought(sdk, line())
    batch = sdk.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    sdk.files.delete(file_id)
    assert ended(sdk, batch).status in ("failed", "completed")  # whichever was first
    assert batch.id in {one.id for one in sdk.batches.list().data}


def test_a_batch_is_cancelled_at_once(sdk: OpenAI) -> None:
    batch = begun(sdk, *(line(custom_id=str(n), body=body(messages=[_long()])) for n in range(20)))
    cancelling = sdk.batches.cancel(batch.id)
    assert cancelling.status in ("cancelling", "cancelled")
    assert cancelling.cancelling_at
    done = ended(sdk, batch)
    assert done.status == "cancelled"
    assert done.cancelled_at
    assert sdk.batches.cancel(batch.id).status == "cancelled"


def _long() -> dict[str, str]:
    return {"role": "user", "content": "word " * 200}


def test_what_fails_in_running_is_in_the_error_file(sdk: OpenAI) -> None:
    """The line that is right is answered, and the batch is completed; both files can be deleted."""
    too_long = body(model="demo-chat", messages=[{"role": "user", "content": "a b c d " * 180}], max_tokens=1)
    batch = ended(sdk, begun(sdk, line(), line(custom_id="two", body=too_long)))
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.to_dict() == {"total": 2, "completed": 1, "failed": 1}
    assert batch.output_file_id
    assert batch.error_file_id
    [good] = read(sdk, batch.output_file_id)
    assert (good["custom_id"], good["response"]["status_code"], good["error"]) == ("one", 200, None)
    assert good["response"]["body"]["choices"]
    [bad] = read(sdk, batch.error_file_id)
    assert bad["custom_id"] == "two"
    assert bad["response"]["status_code"] == 400
    assert bad["response"]["body"]["error"]["code"] == "context_length_exceeded"
    assert all(sdk.files.delete(file_id).deleted for file_id in (batch.output_file_id, batch.error_file_id))


def read(sdk: OpenAI, file_id: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in sdk.files.content(file_id).text.splitlines()]


@catalogs.without_embedding_model
def test_embeddings_are_made_of_texts_and_of_lists_of_them(sdk: OpenAI) -> None:
    asked = {"model": "demo-embed", "encoding_format": "float"}
    texts = ["How are you?", "Good morning", "Have a great day"]
    lines = (
        line(custom_id=str(n), url="/v1/embeddings", body={**asked, "input": given})
        for n, given in enumerate(("Hello", texts))
    )
    batch = ended(sdk, begun(sdk, *lines, endpoint="/v1/embeddings"))
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert batch.output_file_id
    answers = {answer["custom_id"]: answer["response"]["body"]["data"] for answer in read(sdk, batch.output_file_id)}
    assert {name: [one["index"] for one in data] for name, data in answers.items()} == {"0": [0], "1": [0, 1, 2]}
    assert all(isinstance(one["embedding"][0], float) for data in answers.values() for one in data)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/invalid/endpoint"}, "endpoint"),
        ({"completion_window": "invalid"}, "completion_window"),
        ({"completion_window": ""}, "completion_window"),
        ({"completion_window": "1000d"}, "completion_window"),
        ({"metadata": {"tags": ["one", "two"]}}, "metadata.tags"),
        ({"input_file_id": "file-nonexistent-xyz"}, "input_file_id"),
        ({"input_file_id": "file-" + "0" * 32}, "input_file_id"),
    ],
)
def test_a_request_that_is_wrong_makes_no_batch(sdk: OpenAI, changes: dict[str, Any], param: str) -> None:
    before = [one.id for one in sdk.batches.list(limit=1).data]
    with pytest.raises(BadRequestError) as refused:
        begun(sdk, line(), **changes)
    assert refused.value.param == param
    assert [one.id for one in sdk.batches.list(limit=1).data] == before


@pytest.mark.parametrize("batch_id", [NOBODY, "batch-nonexistent-xyz"])
def test_a_batch_that_is_not_there_is_not_found(sdk: OpenAI, batch_id: str) -> None:
    for ask in (sdk.batches.retrieve, sdk.batches.cancel):
        with pytest.raises(NotFoundError):
            ask(batch_id)


def test_a_batch_that_has_ended_is_not_cancelled(sdk: OpenAI) -> None:
    """Though its file be deleted; nor is one that has failed."""
    done = ended(sdk, begun(sdk, line()))
    assert done.output_file_id
    sdk.files.delete(done.output_file_id)
    for batch in (done, ended(sdk, begun(sdk, "{"))):
        with pytest.raises(ConflictError, match=f"Cannot cancel a batch with status '{batch.status}'"):
            sdk.batches.cancel(batch.id)
        assert sdk.batches.retrieve(batch.id).cancelling_at is None


def test_a_line_that_is_no_json_is_told_by_its_number(sdk: OpenAI) -> None:
    """Also in a file that has nothing else; one that has nothing at all fails too."""
    [error] = failed(sdk, line(), "{invalid json here")
    assert (error.code, error.line, error.param) == ("invalid_json_line", 2, None)
    [alone] = failed(sdk, "{malformed json")
    assert (alone.code, alone.line) == ("invalid_json_line", 1)
    [empty] = failed(sdk, "\n")
    assert empty.line is None


def test_what_a_line_lacks_is_told_by_its_name(sdk: OpenAI) -> None:
    """Each line that is wrong has its error."""
    names = ["custom_id", "method", "url", "body"]
    told = failed(sdk, *(without(line(custom_id=name), name) for name in names))
    assert [(error.code, error.line, error.param) for error in told] == [
        ("missing_required_parameter", number, name) for number, name in enumerate(names, start=1)
    ]


def test_what_has_another_type_is_told_by_its_name(sdk: OpenAI) -> None:
    wrong = {"custom_id": 7, "method": ["POST"], "url": {"path": CHAT}, "body": "a text"}
    told = failed(sdk, *(line(**{"custom_id": name, name: value}) for name, value in wrong.items()))
    assert [(error.line, error.param) for error in told] == list(enumerate(wrong, start=1))


@pytest.mark.parametrize(
    ("wrong", "code", "param"),
    [
        (line(body=body(stream=True)), "streaming_unsupported", "body.stream"),
        (line(url="/v1/embeddings"), "invalid_url", "url"),
        (line(method="GET"), None, "method"),
        (line(body=body(model="nonexistent-model-xyz")), "model_not_found", "body.model"),
        (line(body=without(body(), "messages")), None, "body.messages"),
        (line(body=body(messages=[{"rolez": "user", "contentz": "This fails"}])), None, "body.messages.0"),
        (line(), None, "custom_id"),
    ],
)
def test_a_line_that_is_wrong_fails_the_others_too(
    sdk: OpenAI, wrong: dict[str, Any], code: str | None, param: str
) -> None:
    """The first line is right, and isn't run."""
    [error] = failed(sdk, line(), wrong | {"custom_id": "two"} if param != "custom_id" else wrong)
    assert error.line == 2
    assert error.param
    assert error.param.startswith(param)
    assert code in (None, error.code)


def test_a_batch_that_was_asked_for_once_is_made_once(sdk: OpenAI) -> None:
    """By the header that says so; it can't be used for another."""
    file_id = brought(sdk, line())

    def create(**changes: Any) -> Batch:
        asked: Any = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **changes}
        return sdk.batches.create(**asked, extra_headers={"Idempotency-Key": file_id})

    first = create(metadata={"one": "1", "two": "2"})
    again = create(metadata={"two": "2", "one": "1"})
    assert (again.id, again.created_at, again.metadata) == (first.id, first.created_at, first.metadata)
    with pytest.raises(BadRequestError):
        create(metadata={"one": "2"})
    assert sdk.batches.retrieve(first.id).input_file_id == file_id
