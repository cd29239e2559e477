"""`/v1/messages` as Anthropic's client asks it, answered by the demo model."""

from typing import Any

import anthropic
import httpx
import pytest
from anthropic import Anthropic

from tests.support.platform import Stack

CHAT = "demo-chat"
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a place.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def asked(sdk: Anthropic, **changes: Any) -> Any:
    given: dict[str, Any] = {
        "model": CHAT,
        "max_tokens": 12,
        "messages": [{"role": "user", "content": "Tell me a story about Anna."}],
        "extra_body": {"temperature": 0},
    }
    return sdk.messages.create(**{**given, **changes})


def test_a_message_is_its_jobs(sdk: Anthropic, stack: Stack) -> None:
    """Text, end and tokens are those of the job that the message is named after."""
    made = asked(sdk, system="Be brief.")
    job = httpx.get(f"{stack.url}/v1/jobs/job_{made.id.removeprefix('msg_')}", headers=stack.headers, timeout=30).json()
    [block] = made.content
    assert (block.type, block.text) == ("text", job["result"]["message"]["content"])
    assert (made.stop_reason, made.role, made.model) == ("max_tokens", "assistant", CHAT)
    assert made.usage.output_tokens == 12
    assert made.usage.input_tokens + made.usage.cache_read_input_tokens == job["usage"]["prompt_tokens"]


def test_a_stream_says_the_same_in_pieces(sdk: Anthropic) -> None:
    """The client puts the pieces together to what is answered without a stream."""
    with sdk.messages.stream(
        model=CHAT,
        max_tokens=12,
        messages=[{"role": "user", "content": "Tell me a story about Anna."}],
        extra_body={"temperature": 0},
    ) as stream:
        pieces = list(stream.text_stream)
        made = stream.get_final_message()
    whole = asked(sdk)
    assert "".join(pieces) == made.content[0].text == whole.content[0].text  # type: ignore[union-attr]
    assert (made.stop_reason, made.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


def test_a_tool_is_called_with_what_fits_its_schema(sdk: Anthropic) -> None:
    """And its result goes on with the conversation."""
    question = {"role": "user", "content": "What is the weather in Bern?"}
    called = asked(sdk, tools=[WEATHER], tool_choice={"type": "any"}, max_tokens=60, messages=[question])
    [block] = called.content
    assert (called.stop_reason, block.type, block.name) == ("tool_use", "tool_use", "get_weather")
    assert isinstance(block.input["city"], str)
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "Sunny."}
    going_on = [question, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    assert asked(sdk, tools=[WEATHER], messages=going_on).content


def test_tokens_are_counted_as_the_model_reads_them(sdk: Anthropic) -> None:
    """System, tools and all turns; no more and no fewer than an answer is charged for."""
    talk: Any = {
        "model": CHAT,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Who was Anna?"},
            {"role": "assistant", "content": [{"type": "text", "text": "A sailor."}]},
            {"role": "user", "content": "And then?"},
        ],
        "tools": [WEATHER],
    }
    counted = sdk.messages.count_tokens(**talk)
    usage = asked(sdk, **talk).usage
    assert counted.input_tokens == usage.input_tokens + usage.cache_read_input_tokens
    assert sdk.messages.count_tokens(**talk | {"tools": []}).input_tokens < counted.input_tokens
    with pytest.raises(anthropic.NotFoundError):
        sdk.messages.count_tokens(**talk | {"model": "nothing"})
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        sdk.messages.count_tokens(model=CHAT, messages=[])


def test_errors_are_the_clients_own(sdk: Anthropic, stack: Stack) -> None:
    """By their statuses, with the envelope and the request's id that it reads."""
    with pytest.raises(anthropic.BadRequestError) as refused:
        asked(sdk, messages=[{"role": "user", "content": [{"type": "image", "source": {}}]}])
    assert refused.value.type == "invalid_request_error"
    assert "messages.0.content.0.type" in str(refused.value)
    assert str(refused.value.request_id).startswith("req_")
    with pytest.raises(anthropic.NotFoundError):
        asked(sdk, model="nothing")
    with (
        Anthropic(base_url=stack.url, api_key="fb_x_y", max_retries=0) as stranger,
        pytest.raises(anthropic.AuthenticationError),
    ):
        asked(stranger)


def test_a_key_may_come_in_either_header(stack: Stack) -> None:
    """As `x-api-key`, which the client sends for `api_key`, or as a bearer's, for `auth_token`."""
    with Anthropic(base_url=stack.url, auth_token=stack.key, max_retries=0) as client:
        assert asked(client).content
