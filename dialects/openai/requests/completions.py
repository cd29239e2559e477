"""`POST /v1/completions`, read."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields

from dialects.fields import STORABLE, Flag, Whole, within
from dialects.openai.requests.fields import Sampled, sampling
from dialects.wishes import Wishes
from tasks import errors
from tasks.jobs.requests import Submission
from tasks.kinds.generation import Generation

MAX_PROMPTS = 128
MAX_ANSWERS = 128  # of all prompts together
MAX_TOKENS = 16  # where nothing is said, as OpenAI has it
_MAX_IDS = 1_000_000

Prompt = str | tuple[int, ...]


class Prompts(fields.Field[list[Prompt]]):
    """A text, token ids, or several of either; always a list inside."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Prompt]:  # noqa: ARG002
        several = value if isinstance(value, list) and not is_ids(value) else [value]
        if not 1 <= len(several) <= MAX_PROMPTS:
            raise ma.ValidationError(f"1 to {MAX_PROMPTS} prompts")
        for number, prompt in enumerate(several):
            if not (isinstance(prompt, str) and prompt) and not (isinstance(prompt, list) and is_ids(prompt)):
                raise ma.ValidationError({str(number): ["must be a text or a list of token ids, and not empty"]})
        return [prompt if isinstance(prompt, str) else tuple(prompt) for prompt in several]


def is_ids(value: list[Any]) -> bool:
    return 0 < len(value) <= _MAX_IDS and all(type(one) is int and 0 <= one < 2**31 for one in value)


PROMPTS = {
    "description": "A text, token ids, or a list of either.",
    "oneOf": [
        {"type": "string", **STORABLE},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    ],
}


class CompletionRequest(Sampled):
    """A prompt to be continued as it stands, or several."""

    prompt = Prompts(required=True, metadata=PROMPTS)
    max_tokens = Whole(
        allow_none=True, validate=within(1, 1_000_000), metadata={"description": f"{MAX_TOKENS} when not given."}
    )
    logprobs = Whole(allow_none=True, validate=within(0, 20), metadata={"description": "So many of the likeliest too."})
    best_of = Whole(
        allow_none=True, validate=within(1, 32), metadata={"description": "So many are made, and the `n` best given."}
    )
    echo = Flag(allow_none=True, metadata={"description": "The prompt stands before its answer."})
    suffix = fields.String(
        allow_none=True,
        metadata={
            "description": "What stands after the answer, of a model of the type `infill`; others refuse it.",
            **STORABLE,
        },
    )


def submission(given: Mapping[str, Any], wishes: Wishes) -> Submission[Generation]:
    """The job that is asked for. Raises `InvalidField`, and `Unsupported` for what no model here can do."""
    _refuse(given)
    prompts = given["prompt"]
    n, best_of = given.get("n", 1), given.get("best_of", given.get("n", 1))
    if len(prompts) * best_of > MAX_ANSWERS:
        raise errors.InvalidField("n", f"at most {MAX_ANSWERS} answers to all prompts together")
    shared = {
        **sampling(given),
        "choices": best_of,
        "keep": n if best_of > n else None,
        "suffix": given.get("suffix") or None,
        "max_tokens": given.get("max_tokens", MAX_TOKENS),
        "logprobs": given.get("logprobs"),
    }
    return Submission(
        type="generate",
        model=given["model"],
        request=Generation(**_prompt(prompts), **shared),
        lane=wishes.lane,
        priority=wishes.priority,
        metadata=given.get("metadata", {}),
        timing=wishes.timing,
        store=wishes.store,
    )


def _prompt(prompts: list[Prompt]) -> dict[str, Any]:
    if len(prompts) > 1:
        return {"prompts": tuple(prompts)}
    return {"prompt" if isinstance(prompts[0], str) else "prompt_ids": prompts[0]}


def _refuse(given: Mapping[str, Any]) -> None:
    if given.get("best_of", given.get("n", 1)) < given.get("n", 1):
        raise errors.InvalidField("best_of", "must be at least `n`")
    if given.get("stream") and given.get("best_of", 1) > given.get("n", 1):
        raise errors.InvalidField("best_of", "which is best is known at the end: it can't be streamed")
    if given.get("echo"):
        if "logprobs" in given:
            raise errors.Unsupported("logprobs", "with `echo`: no model here tells how likely a prompt was")
        if not all(isinstance(prompt, str) for prompt in given["prompt"]):
            raise errors.Unsupported("echo", "of token ids: give the prompt as a text")
