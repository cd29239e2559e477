"""`/v1/completions` as OpenAI's client asks it, answered by the demo model."""

from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from openai.types import Completion

from tests.webapi.openai.conftest import CHAT, SLOW, Jobs

PROMPT = "One day, Anna"
DRAWN: Any = {"model": CHAT, "prompt": PROMPT, "max_tokens": 8, "temperature": 0.8, "seed": 7}


def asked(sdk: OpenAI, **changes: Any) -> Completion:
    made = sdk.completions.create(**{**DRAWN, **changes})
    assert isinstance(made, Completion)
    return made


def texts(made: Completion) -> list[str]:
    return [choice.text for choice in made.choices]


def told(sdk: OpenAI, choices: int = 1, **changes: Any) -> list[str]:
    """The texts of a stream's choices."""
    said = [""] * choices
    for chunk in sdk.completions.create(**{**DRAWN, **changes}, stream=True):
        for part in chunk.choices:
            said[part.index] += part.text
    return said


def test_an_answer_is_its_jobs(sdk: OpenAI, jobs: Jobs) -> None:
    """A stream says the same in pieces."""
    made = asked(sdk)
    assert texts(made) == [jobs.of(made.id)["result"]["text"]] == told(sdk)
    assert (made.object, made.choices[0].finish_reason) == ("text_completion", "length")
    assert made.usage is not None
    assert made.usage.completion_tokens == 8
    assert made.usage.total_tokens == made.usage.prompt_tokens + 8
    assert (made.model, made.created > 1_700_000_000) == (CHAT, True)
    assert made.system_fingerprint == asked(sdk, seed=8).system_fingerprint is not None


def test_sixteen_tokens_are_given_where_nothing_is_said(sdk: OpenAI) -> None:
    """As OpenAI has it."""
    made = sdk.completions.create(model=SLOW, prompt=" ".join("word" for _ in range(40)))
    assert made.usage is not None
    assert made.usage.completion_tokens == 16


def test_each_prompt_has_its_answers(sdk: OpenAI) -> None:
    """Prompts in their order, and of each as many as were asked for; streams keep them apart."""
    prompts = ["One day, Anna", "Tom had a red", "The dog"]
    made = asked(sdk, prompt=prompts, n=2)
    assert [choice.index for choice in made.choices] == [0, 1, 2, 3, 4, 5]
    assert told(sdk, 6, prompt=prompts, n=2) == texts(made)
    echoed = texts(asked(sdk, prompt=prompts, n=2, echo=True))
    assert echoed == [
        before + text for before, text in zip([p for p in prompts for _ in "12"], texts(made), strict=True)
    ]
    assert told(sdk, 6, prompt=prompts, n=2, echo=True) == echoed


def test_token_ids_are_a_prompt_too(sdk: OpenAI, jobs: Jobs) -> None:
    """One list of them, or several."""
    made = asked(sdk, prompt=[5, 6, 7, 8])
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (4, 8)
    several = asked(sdk, prompt=[[5, 6, 7, 8], [9, 10]])
    assert [choice.index for choice in several.choices] == [0, 1]
    assert jobs.of(several.id)["status"] == "succeeded"


def test_the_best_of_several_are_given(sdk: OpenAI) -> None:
    """All are spent, and those given are the likeliest."""
    best = asked(sdk, best_of=4, n=2, temperature=1.5, logprobs=0)
    assert len(best.choices) == 2
    assert best.usage is not None
    assert best.usage.completion_tokens == 32
    every = asked(sdk, n=4, temperature=1.5, logprobs=0)
    assert set(texts(best)) <= set(texts(every))


def test_probabilities_come_with_their_places(sdk: OpenAI) -> None:
    """In the older shape: tokens, their probabilities, the likeliest, and where each begins."""
    made = asked(sdk, logprobs=2)
    told = made.choices[0].logprobs
    assert told is not None
    assert "".join(told.tokens or ()) == made.choices[0].text
    assert told.text_offset is not None
    assert told.text_offset[0] == 0
    assert [len(told.tokens or ()), len(told.token_logprobs or ()), len(told.top_logprobs or ())] == [8, 8, 8]
    assert all(len(likeliest) >= 2 for likeliest in told.top_logprobs or ())


def test_usage_comes_as_one_chunk_more(sdk: OpenAI) -> None:
    """With no choices, after all others."""
    *others, last = sdk.completions.create(**DRAWN, stream=True, stream_options={"include_usage": True})
    assert (last.choices, last.usage) == ([], asked(sdk).usage)
    assert all(chunk.usage is None for chunk in others)


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0},
        {"top_p": 0},
        {"frequency_penalty": 2},
        {"presence_penalty": -2},
        {"seed": 8},
        {"stop": "e"},
        {"logit_bias": {str(token): -100 for token in range(1000)}},
    ],
)
def test_each_parameter_makes_another_answer(sdk: OpenAI, changed: dict[str, Any]) -> None:
    """Of what is otherwise the same."""
    assert texts(asked(sdk, max_tokens=40, **changed)) != texts(asked(sdk, max_tokens=40))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"suffix": " The end."}, "suffix"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"echo": True, "logprobs": 1}, "logprobs"),
        ({"prompt": ""}, "prompt.0"),
        ({"prompt": [0] * 1000}, "prompt"),
    ],
)
def test_what_cant_be_is_refused_by_name(sdk: OpenAI, changes: dict[str, Any], param: str) -> None:
    """Before a job is made, or by the job where only the model knows."""
    with pytest.raises(BadRequestError) as refused:
        asked(sdk, **changes)
    assert refused.value.param in (param, None)
    assert refused.value.type == "invalid_request_error"
