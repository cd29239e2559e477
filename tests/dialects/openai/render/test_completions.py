"""Generations in the words of OpenAI's older completions."""

import json

from dialects.openai.render import completions
from dialects.openai.render.completions import Chunks, Echo
from tasks.models.logprobs import Logprob
from tasks.streams.events import Delta, Started
from tests.webapi.openai.views import JOB, answered

TOLD = {"text": "b", "finish_reason": "stop"}


def test_prompts_stand_before_each_of_their_answers() -> None:
    """Two prompts with two answers each."""
    told = completions.completion(answered({"choices": [TOLD] * 4}), Echo(["x", "y"], 2))
    assert [choice["text"] for choice in told["choices"]] == ["xb", "xb", "yb", "yb"]
    assert told["id"].startswith("cmpl-")


def test_a_streams_first_piece_has_the_prompt() -> None:
    """And its probabilities are counted from behind it."""
    rendering = Chunks(JOB, Echo(["abc"]))
    pieces = rendering.event(0, Started(1, "w")) + rendering.event(
        0, Delta("d", logprobs=(Logprob.of(b"d", -1.0),))
    )  # fmt: skip
    first, second = (json.loads(line[6:])["choices"][0] for line in pieces.decode().split("\n\n")[:-1])
    assert (first["text"], second["text"]) == ("abc", "d")
    assert second["logprobs"] == {
        "text_offset": [3],
        "token_logprobs": [-1.0],
        "tokens": ["d"],
        "top_logprobs": [{}],
    }
