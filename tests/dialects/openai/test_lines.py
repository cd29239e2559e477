"""A line of a batch's file, by each rule that it is held to."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from dialects.openai import lines
from dialects.openai.lines import LineRefused, Surroundings
from tasks.batches.answers import ABOUT
from tasks.functions.toolbox import Toolbox
from tasks.jobs.requests import Plan
from tasks.kinds.generation import Generation
from tasks.settings import OUR_FUNCTIONS
from tests import tables

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
RESPONSES = "/v1/responses"
AROUND = Surroundings(tables.MODELS, Toolbox(OUR_FUNCTIONS))
BODY: dict[str, Any] = {"model": "alpha", "messages": [{"role": "user", "content": "word"}]}
GOOD: dict[str, Any] = {"custom_id": "1", "method": "POST", "url": CHAT, "body": BODY}


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    """The child that tells of the server's functions ends with these tests."""
    yield
    AROUND.toolbox.close()


def refused(raw: bytes, endpoint: str = CHAT) -> tuple[str, str | None]:
    """The code and the field that it is refused for."""
    with pytest.raises(LineRefused) as caught:
        lines.read(raw, endpoint, AROUND)
    return caught.value.code, caught.value.field


def raw(**changes: Any) -> bytes:
    whole = {**GOOD, **changes}
    return json.dumps({name: value for name, value in whole.items() if value is not ...}).encode()


def body(**changes: Any) -> bytes:
    return raw(body={**BODY, **changes})


def test_a_compressed_file_is_told_to_be_one() -> None:
    """Nobody looks for a letter that is wrong in it."""
    with pytest.raises(LineRefused, match=r"the line is compressed \(gzip\): send it as it is"):
        lines.read(gzip.compress(raw()), CHAT, AROUND)


def test_a_line_is_the_request_that_its_endpoint_reads() -> None:
    line = lines.read(body(temperature=0, max_tokens=3), CHAT, AROUND)
    assert (line.custom_id, line.asked.type, line.asked.model, line.asked.lane) == ("1", "chat", "alpha", "batch")
    assert isinstance(line.asked.request, Generation)
    assert (line.asked.request.max_tokens, line.about) == (3, {})


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        (b"no json", "invalid_json_line", None),
        (b"[]", "invalid_json_line", None),
        (b'{"custom_id": "1"', "invalid_json_line", None),
        (b"\xff\xfe", "invalid_json_line", None),
        (b"\x1f\x8b\x08" + bytes(20), "invalid_json_line", None),
        (raw(custom_id=...), "missing_required_parameter", "custom_id"),
        (raw(custom_id=None), "missing_required_parameter", "custom_id"),
        (raw(custom_id=1), "invalid_type", "custom_id"),
        (raw(custom_id=""), "invalid_value", "custom_id"),
        (raw(custom_id="x" * 513), "invalid_value", "custom_id"),
        (raw(custom_id="a\0b"), "invalid_json_line", "custom_id"),
        (raw(method=...), "missing_required_parameter", "method"),
        (raw(method=["POST"]), "invalid_type", "method"),
        (raw(method="GET"), "invalid_method", "method"),
        (raw(url=...), "missing_required_parameter", "url"),
        (raw(url=7), "invalid_type", "url"),
        (raw(url="/v1/embeddings"), "invalid_url", "url"),
        (raw(body=...), "missing_required_parameter", "body"),
        (raw(body="{}"), "invalid_type", "body"),
        (raw(extra=1), "unknown_parameter", "extra"),
        (body(stream=True), "streaming_unsupported", "body.stream"),
        (body(temperature=3), "invalid_value", "body.temperature"),
        (body(messages=[]), "invalid_value", "body.messages"),
        (body(unknown=1), "invalid_value", "body.unknown"),
        (body(tools=[{"type": "function"}]), "invalid_value", "body.tools.0.function"),
        (body(server_functions=["none"]), "invalid_value", "body.server_functions.0"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(line: bytes, code: str, field: str | None) -> None:
    assert refused(line) == (code, field)


def test_what_a_line_goes_on_from_is_known_without_looking() -> None:
    """Whether it is there is seen when its job is made."""
    digits = "0192f0c1d2e37f4f8a5b6c7d8e9f0a1b"
    named = "0192f0c1-d2e3-7f4f-8a5b-6c7d8e9f0a1b"
    refers = {"input": [{"role": "user", "content": "word"}, {"type": "item_reference", "id": "msg_1"}]}
    for asked, found in (
        ({"input": "word"}, None),
        ({"conversation": f"conv_{digits}"}, ("conversation", named)),
        ({"previous_response_id": f"resp_{digits}"}, ("previous_response_id", named)),
        (refers, ("input", "msg_1")),
    ):
        line = raw(url=RESPONSES, body={"model": "alpha", "input": "word"} | asked)
        assert lines.read(line, RESPONSES, AROUND).goes_on_from == found


def test_a_line_can_not_be_in_the_background() -> None:
    line = {"model": "alpha", "input": "word"}
    asked = raw(url=RESPONSES, body=line | {"background": True})
    assert refused(asked, RESPONSES) == ("unsupported_parameter", "body.background")
    lines.read(raw(url=RESPONSES, body=line | {"background": False}), RESPONSES, AROUND)


@pytest.mark.parametrize(
    "hostile",
    [
        b'{"custom_id": "1", "method": "POST", "url": "' + CHAT.encode() + b'", "body": {"a": ' + b"[" * 100_000,
        raw(body={f"column {n}": n for n in range(200_000)}),
        b'{"custom_id": "1", "custom_id": "2"}',
        raw(body={**BODY, "seed": float("nan")}),
        b'{"custom_id": ' + b"9" * 100_000 + b"}",
    ],
)
def test_what_could_ask_for_much_is_refused_before_it_is_made(hostile: bytes) -> None:
    """Nesting, columns, keys that are there twice, numbers that JSON doesn't have or nobody could hold."""
    assert refused(hostile)[0] == "invalid_json_line"


def test_what_an_answer_is_rendered_by_is_kept_with_its_job() -> None:
    """And is no part of what is asked."""
    whole = {"model": "alpha", "prompt": "x", "echo": True, "n": 2}
    line = lines.read(raw(url=COMPLETIONS, body=whole), COMPLETIONS, AROUND)
    plan = line.noted(Plan(line.asked, "generate", "alpha", "alpha"))
    stored = plan.asked.request.to_json()
    assert stored.params[ABOUT] == {"echo": 2}
    plain = line.asked.request.to_json()
    assert (stored.input, {**plain.params, ABOUT: {"echo": 2}}) == (plain.input, stored.params)


def test_texts_to_be_embedded_are_counted() -> None:
    for given, inputs in (("x", 1), (["x", "y", "z"], 3), ([1, 2, 3], 1)):
        line = lines.read(raw(url=EMBEDDINGS, body={"model": "embedder", "input": given}), EMBEDDINGS, AROUND)
        assert line.inputs == inputs


def test_a_right_line_is_called_what_it_is_called() -> None:
    assert lines.custom_id(raw(custom_id="née"), CHAT) == "née"
