"""The client library `ollama`, as it is, against a whole platform."""

from collections.abc import Iterator

import httpx
import ollama
import pytest

from tests.support import catalogs
from tests.support.platform import Stack

PROMPT = "Tell me a story about Anna."


@pytest.fixture
def client(stack: Stack) -> Iterator[ollama.Client]:
    with ollama.Client(stack.url, headers=stack.headers) as client:
        yield client


def test_prompt_is_answered_whole_and_in_pieces(client: ollama.Client) -> None:
    """By the demo model, with what it took."""
    options = {"num_predict": 12, "temperature": 0, "seed": 7, "num_ctx": 512}
    whole = client.generate("demo-chat:latest", PROMPT, options=options, keep_alive="5m")
    pieces = list(client.generate("demo-chat", PROMPT, options=options, stream=True))
    assert whole.response == "".join(piece.response or "" for piece in pieces)
    assert whole.response
    assert (whole.done_reason, whole.eval_count, pieces[-1].eval_count) == ("length", 12, 12)
    assert whole.total_duration >= whole.eval_duration > 0
    assert whole.prompt_eval_count > 0


def test_conversation_is_answered_whole_and_in_pieces(client: ollama.Client) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
    options = {"num_predict": 12, "temperature": 0}
    whole = client.chat("demo-chat", messages, options=options)
    pieces = list(client.chat("demo-chat", messages, options=options, stream=True))
    assert whole.message.content == "".join(piece.message.content or "" for piece in pieces)
    assert whole.message.role == "assistant"


@catalogs.without_embedding_model
def test_texts_are_embedded(client: ollama.Client) -> None:
    two = client.embed("demo-embed", ["one", "two"])
    one = client.embeddings("demo-embed", "one")
    assert two.embeddings[0] == pytest.approx(one.embedding, abs=1e-4)
    assert sum(number * number for number in two.embeddings[1]) == pytest.approx(1, abs=1e-3)


def test_models_are_listed_and_shown(client: ollama.Client) -> None:
    tags = {model.model: model for model in client.list().models}
    assert tags["demo-chat"].size > 0
    assert "demo-chat" in [model.model for model in client.ps().models]
    shown = client.show("demo-chat:latest")
    assert shown.capabilities[0] == "completion"
    assert shown.modelinfo["forebay.context_length"] == 512


def test_errors_are_told_as_it_knows_them(client: ollama.Client, stack: Stack) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nobody' not found") as unknown:
        client.generate("nobody", "x")
    assert unknown.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="suffix: ") as refused:
        client.generate("demo-chat", "x", suffix="y", stream=True).__next__()
    assert refused.value.status_code == 400
    with ollama.Client(stack.url) as stranger, pytest.raises(ollama.ResponseError, match="this needs") as closed:
        stranger.list()
    assert closed.value.status_code == 401


def test_server_looks_alive_to_who_asks_without_a_key(stack: Stack) -> None:
    """As Ollama's own command line looks before it says anything else."""
    assert httpx.head(stack.url, follow_redirects=True).status_code == 200
    assert httpx.get(f"{stack.url}/health").json() == {"status": "ok"}
