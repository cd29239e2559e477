"""Functions of the server in a chat: asked for by name, made here, each an event of the job."""

import json
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.support.platform import Stack
from tests.webapi.openai.conftest import CHAT, Jobs

ASKED: list[Any] = [{"role": "user", "content": "How late is it?"}]
SERVED = {"server_functions": ["current_time"]}
LOOK: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize("model", [CHAT, "demo-ct"])
def test_function_is_called_here_and_the_answer_goes_on(stack: Stack, sdk: OpenAI, jobs: Jobs, model: str) -> None:
    """Its client is told the answer alone; the job's stream has the call and what came of it."""
    asked: dict[str, Any] = {"model": model, "messages": ASKED, "seed": 7, "max_completion_tokens": 200}
    chunks = sdk.chat.completions.create(
        **asked, tool_choice="required", parallel_tool_calls=False, stream=True, extra_body=SERVED
    )
    told = list(chunks)
    choices = [choice for chunk in told for choice in chunk.choices]
    assert [choice for choice in choices if choice.delta.tool_calls] == []
    assert choices[-1].finish_reason in ("stop", "length")
    job = jobs.of(told[0].id)
    events = httpx.get(f"{stack.url}/v1/jobs/{job['id']}/events", headers=stack.headers, timeout=30).text
    kinds = [line.removeprefix("event: ") for line in events.splitlines() if line.startswith("event: ")]
    assert kinds.index("tool_call") + 1 == kinds.index("tool_result")
    message = job["result"]["message"]
    assert "tool_calls" not in message
    assert message["content"] == "".join(choice.delta.content or "" for choice in choices)


def test_call_beside_one_of_the_clients_is_the_clients(sdk: OpenAI) -> None:
    """Whatever it is that the model wants called, arguments are JSON and nothing is made twice."""
    made = sdk.chat.completions.create(
        model=CHAT,
        messages=ASKED,
        tools=[LOOK],
        tool_choice={"type": "function", "function": {"name": "look"}},
        parallel_tool_calls=False,
        max_completion_tokens=120,
        seed=7,
        extra_body=SERVED,
    )
    [call] = made.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, type(json.loads(call.function.arguments))) == ("look", dict)
