"""What an answer used, as OpenAI tells it."""

from dialects.openai.render import usage
from tests.webapi.openai.views import answered, said


def test_tokens_are_told_by_what_they_were() -> None:
    """All are of text; those of the prompt that were read already are told."""
    told = usage.of(answered())
    assert told["prompt_tokens_details"]["text_tokens"] == told["prompt_tokens"] == 7
    assert told["completion_tokens_details"]["text_tokens"] == told["completion_tokens"] == 5
    assert told["prompt_tokens_details"]["cached_tokens"] == 3
    assert told["completion_tokens_details"]["audio_tokens"] == 0


def test_several_answers_are_told_together() -> None:
    """Where a job was made of several, its result says what they spent."""
    together = {"choices": [said("a"), said("b")], "usage": {"prompt_tokens": 14, "completion_tokens": 9}}
    assert usage.of(answered(together))["total_tokens"] == 23
