"""`/v1/chat/completions` as OpenAI's client asks it, answered by the demo model."""

import datetime as dt
import math
from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.webapi.openai.conftest import CHAT, SLOW, Jobs

PLACE: Any = {
    "type": "approximate",
    "approximate": {"city": "Bern", "country": "CH", "region": "Bern", "timezone": "Europe/Zurich"},
}
CUSTOM: Any = {
    "name": "draw",
    "description": "To draw.",
    "format": {"type": "grammar", "grammar": {"definition": "a", "syntax": "regex"}},
}
STORY: Any = [{"role": "user", "content": "Tell me a story about Anna."}]
DRAWN: Any = {"model": CHAT, "messages": STORY, "max_completion_tokens": 12, "temperature": 0.8, "seed": 7}


def asked(sdk: OpenAI, **changes: Any) -> ChatCompletion:
    made = sdk.chat.completions.create(**{**DRAWN, **changes})
    assert isinstance(made, ChatCompletion)
    return made


def streamed(sdk: OpenAI, **changes: Any) -> list[ChatCompletionChunk]:
    return list(sdk.chat.completions.create(**{**DRAWN, **changes}, stream=True))


def text(made: ChatCompletion) -> str:
    return made.choices[0].message.content or ""


def told(chunks: list[ChatCompletionChunk], choice: int = 0) -> str:
    parts = (part for chunk in chunks for part in chunk.choices if part.index == choice)
    return "".join(part.delta.content or "" for part in parts)


def test_an_answer_is_its_jobs(sdk: OpenAI, jobs: Jobs) -> None:
    """Text, end, tokens and time are those of the job that the answer is named after."""
    made = asked(sdk)
    job = jobs.of(made.id)
    assert text(made) == job["result"]["message"]["content"]
    assert made.choices[0].finish_reason == job["result"]["finish_reason"] == "length"
    assert (made.object, made.model, made.service_tier) == ("chat.completion", job["model"], "default")
    assert made.usage is not None
    assert made.usage.completion_tokens == 12
    assert made.usage.total_tokens == made.usage.prompt_tokens + 12
    assert (made.choices[0].message.role, made.choices[0].message.refusal) == ("assistant", None)
    assert made.created == int(dt.datetime.fromisoformat(job["created_at"]).timestamp())


def test_a_stream_says_the_same_in_pieces(sdk: OpenAI, jobs: Jobs) -> None:
    """All chunks have one id and one time; the first says who speaks, the last why it ended."""
    chunks = streamed(sdk)
    assert told(chunks) == text(asked(sdk)) == jobs.of(chunks[0].id)["result"]["message"]["content"]
    assert len({(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks}) == 1
    assert (chunks[0].choices[0].delta.role, chunks[0].choices[0].delta.refusal) == ("assistant", None)
    assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "length"]
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_as_one_chunk_more(sdk: OpenAI) -> None:
    """It has no choices, and what it says is what is said without a stream."""
    *others, last = streamed(sdk, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage == asked(sdk).usage
    assert all(chunk.usage is None and chunk.choices for chunk in others)


def test_answers_are_drawn_by_the_seed(sdk: OpenAI) -> None:
    """One seed gives one answer, and one fingerprint; another gives another."""
    first, again, other = asked(sdk), asked(sdk), asked(sdk, seed=-8)
    assert text(first) == text(again) != text(other)
    assert first.system_fingerprint is not None
    assert first.system_fingerprint == again.system_fingerprint == streamed(sdk)[0].system_fingerprint


@pytest.mark.parametrize(
    "changed", [{"temperature": 0}, {"top_p": 0}, {"frequency_penalty": 2}, {"presence_penalty": -2}]
)
def test_sampling_changes_what_is_drawn(sdk: OpenAI, changed: dict[str, float]) -> None:
    """Each parameter makes another answer of the same seed."""
    assert text(asked(sdk, **changed, max_completion_tokens=40)) != text(asked(sdk, max_completion_tokens=40))


def test_a_bias_bans_a_token(sdk: OpenAI) -> None:
    """What was the likeliest beginning isn't said any more, whichever token of the vocabulary it was."""
    greedy: Any = {"temperature": 0, "max_completion_tokens": 1}
    bans = ({str(token): -100 for token in range(first, first + 1000)} for first in range(0, 32_000, 1000))
    assert any(text(asked(sdk, **greedy, logit_bias=ban)) != text(asked(sdk, **greedy)) for ban in bans)


def test_an_answer_ends_before_a_stop(sdk: OpenAI) -> None:
    """One, or any of several; the stop itself isn't said, in pieces neither."""
    whole = text(asked(sdk, max_completion_tokens=30))
    stop = whole.split()[2]
    cut = asked(sdk, max_completion_tokens=30, stop=["never said", stop])
    assert (text(cut), cut.choices[0].finish_reason) == (whole[: whole.index(stop)], "stop")
    assert told(streamed(sdk, max_completion_tokens=30, stop=stop)) == text(cut)


def test_several_answers_are_choices_of_one(sdk: OpenAI, jobs: Jobs) -> None:
    """Each is told apart by its index, in a stream too; all are spent together."""
    made = asked(sdk, n=3, temperature=1)
    assert [choice.index for choice in made.choices] == [0, 1, 2]
    texts = [choice.message.content for choice in made.choices]
    assert len(set(texts)) > 1
    assert made.usage is not None
    assert made.usage.completion_tokens == 36
    chunks = streamed(sdk, n=3, temperature=1)
    assert [told(chunks, choice) for choice in range(3)] == texts
    assert sorted(part.index for chunk in chunks for part in chunk.choices if part.finish_reason) == [0, 1, 2]
    assert jobs.of(made.id)["status"] == "succeeded"


def test_probabilities_are_told_of_each_token(sdk: OpenAI) -> None:
    """With as many of the likeliest beside it as were asked for; none by themselves where none were."""
    content = (asked(sdk, logprobs=True, top_logprobs=3).choices[0].logprobs or pytest.fail("none")).content or []
    assert len(content) == 12
    for token in content:
        assert token.logprob <= 0
        assert bytes(token.bytes or ()).decode(errors="replace") == token.token
        assert len(token.top_logprobs) == 3
        assert sum(math.exp(one.logprob) for one in token.top_logprobs) < 1.001
    alone = (asked(sdk, logprobs=True).choices[0].logprobs or pytest.fail("none")).content or []
    assert [(token.token, token.top_logprobs) for token in alone] == [(token.token, []) for token in content]
    parts = [part for chunk in streamed(sdk, logprobs=True) for part in chunk.choices if part.logprobs]
    assert [token.token for part in parts for token in part.logprobs.content or ()] == [one.token for one in content]


def test_a_conversation_is_read_in_all_its_shapes(sdk: OpenAI) -> None:
    """Parts are their texts, a developer is the system, and what an assistant was sent back with is taken."""
    messages: Any = [
        {"role": "developer", "content": "Be kind.", "name": "house"},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "you"}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
    ]  # fmt: skip
    said = sdk.chat.completions.create(model=SLOW, messages=messages, max_completion_tokens=200, temperature=0)
    assert all(word in text(said) for word in ("kind.", "Hello", "you", "seen"))
    older: Any = [
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "Never."}]},
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}},
        {"role": "function", "name": "look", "content": "found"},
    ]
    said = sdk.chat.completions.create(model=SLOW, messages=messages[:2] + older, max_tokens=200, temperature=0)
    assert "found" in text(said)
    assert "Never." in text(said)


def test_a_flexible_call_is_in_the_batch_lane(sdk: OpenAI, jobs: Jobs) -> None:
    """And its answer says so."""
    made = asked(sdk, service_tier="flex", metadata={"test": "flex"}, user="somebody")
    assert {chunk.service_tier for chunk in streamed(sdk, service_tier="flex")} == {"flex"}
    assert (made.service_tier, jobs.of(made.id)["lane"]) == ("flex", "batch")
    assert made.to_dict()["metadata"] == {"test": "flex"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("audio", {"voice": {"id": "voice_1"}, "format": "wav"}),
        ("modalities", ["text", "audio"]),
        ("moderation", {"model": "some", "policy": {"input": {"mode": "score"}, "output": {"mode": "block"}}}),
        ("reasoning_effort", "high"),
        ("verbosity", "low"),
        ("web_search_options", {"search_context_size": "low", "user_location": PLACE}),
        ("tools", [{"type": "custom", "custom": CUSTOM}]),
    ],
)
def test_what_no_model_here_can_do_is_refused_by_name(sdk: OpenAI, field: str, value: Any) -> None:
    """With OpenAI's code for it."""
    with pytest.raises(BadRequestError) as refused:
        asked(sdk, **{field: value})
    assert refused.value.code == "unsupported_parameter"
    assert (refused.value.param or "").startswith(field)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1", "filename": "a.txt", "file_data": "AAAA"}},
    ],
)
def test_parts_that_are_no_text_are_refused_by_their_place(sdk: OpenAI, part: Any) -> None:
    """So a client knows which message it was."""
    with pytest.raises(BadRequestError) as refused:
        asked(sdk, messages=[*STORY, {"role": "user", "content": [part]}])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "messages.1.content.0.type")


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"audio": {"id": "audio_1"}}, "messages.1.audio"),
        ({"tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "draw", "input": "a"}}]},
         "messages.1.tool_calls.0"),
    ],
)  # fmt: skip
def test_what_an_assistant_cant_have_said_here_is_refused_by_its_place(sdk: OpenAI, more: Any, path: str) -> None:
    """As a client sends back what another service answered."""
    with pytest.raises(BadRequestError) as refused:
        asked(sdk, messages=[*STORY, {"role": "assistant", "content": "Hi", **more}, *STORY])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", path)


def test_what_only_tunes_openais_own_service_is_read_and_not_heeded(sdk: OpenAI) -> None:
    """Callers who send it everywhere needn't leave it out here."""
    tuned = asked(
        sdk,
        prediction={"type": "content", "content": "string"},
        prompt_cache_key="key",
        prompt_cache_options={"mode": "implicit", "ttl": "30m"},
        prompt_cache_retention="in_memory",
        safety_identifier="somebody",
        stream_options=None,
        reasoning_effort="none",
        verbosity="medium",
        modalities=["text"],
    )
    assert text(tuned) == text(asked(sdk))
