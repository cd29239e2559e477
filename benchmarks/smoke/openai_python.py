"""OpenAI's Python client, of whichever series: run with its own Python, with OPENAI_BASE_URL and OPENAI_API_KEY set."""

import json
from collections.abc import Callable

import openai

CHAT, EMBEDDER = "demo-chat", "demo-embed"
STORY = [{"role": "user", "content": "Tell me a story about Anna."}]
DRAWN = {"model": CHAT, "messages": STORY, "max_tokens": 12, "temperature": 0}


def check(name: str, act: Callable[[], object]) -> None:
    try:
        act()
        told = {"check": name, "ok": True}
    except Exception as error:  # noqa: BLE001 whatever went wrong is what is told
        told = {"check": name, "ok": False, "error": f"{type(error).__name__}: {error}"[:300]}
    print(json.dumps(told), flush=True)


def chat() -> None:
    assert client.chat.completions.create(**DRAWN).choices[0].message.content


def stream() -> None:
    chunks = list(client.chat.completions.create(**DRAWN, stream=True, stream_options={"include_usage": True}))
    said = "".join(part.delta.content or "" for chunk in chunks for part in chunk.choices)
    assert said == client.chat.completions.create(**DRAWN).choices[0].message.content
    assert chunks[-1].usage.completion_tokens == 12


def tools() -> None:
    parameters = {"type": "object", "properties": {"where": {"enum": ["up", "down"]}}, "required": ["where"]}
    given = [{"type": "function", "function": {"name": "look", "parameters": parameters}}]
    asked = {**DRAWN, "max_tokens": 100, "tools": given, "tool_choice": "required"}
    for call in client.chat.completions.create(**asked).choices[0].message.tool_calls:
        assert json.loads(call.function.arguments)["where"] in ("up", "down")


def embeddings() -> None:
    default = client.embeddings.create(model=EMBEDDER, input=["one", "two"])
    floats = client.embeddings.create(model=EMBEDDER, input=["one", "two"], encoding_format="float")
    for one, other in zip(default.data, floats.data, strict=True):
        assert max(abs(a - b) for a, b in zip(one.embedding, other.embedding, strict=True)) < 1e-5


def models() -> None:
    assert CHAT in {model.id for model in client.models.list()}


def errors() -> None:
    refused = None
    try:
        client.chat.completions.create(model="none", messages=STORY)
    except openai.NotFoundError as error:
        refused = error.code
    assert refused == "model_not_found"


client = openai.OpenAI()
for act in (chat, stream, tools, embeddings, models, errors):
    check(act.__name__, act)
