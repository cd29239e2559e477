"""`POST /v1/responses/compact`, read."""

from collections.abc import Mapping
from typing import Any

from marshmallow import fields, validate

from dialects.fields import STORABLE, Given
from dialects.openai import items
from dialects.openai.requests import elsewhere
from dialects.openai.requests.fields import TIERS
from dialects.openai.requests.responses import AsGiven, previous
from dialects.wishes import Wishes
from tasks.jobs.requests import Submission
from tasks.kinds import compaction
from tasks.kinds.compact import CompactKind
from tasks.kinds.generation import Generation
from tasks.kinds.response import Asked

_UNHEEDED = {"description": elsewhere.UNHEEDED}


class CompactRequest(Given):
    """What is to be summed up."""

    model = fields.String(
        allow_none=True, metadata={"description": "One of `GET /v1/models`; the first that chats if absent."}
    )
    input = AsGiven(allow_none=True, metadata={"description": "A text, or items.", **items.INPUT})
    previous_response_id = fields.String(
        allow_none=True, metadata={"description": "A response that is summed up with all before it."}
    )
    instructions = fields.String(allow_none=True, metadata={"description": "What a system says first.", **STORABLE})
    service_tier = fields.String(
        allow_none=True,
        validate=validate.OneOf(TIERS),
        metadata={"description": "`flex` waits in the batch lane, behind all that is interactive."},
    )
    prompt_cache_key = fields.String(allow_none=True, metadata=_UNHEEDED | STORABLE)
    prompt_cache_retention = fields.String(allow_none=True, metadata=_UNHEEDED)
    prompt_cache_options = fields.Dict(allow_none=True, metadata=elsewhere.CACHING)
    image = fields.Dict(allow_none=True, metadata=_UNHEEDED)


def given_items(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What its client sent to be summed up. Raises `InvalidField`, `Unsupported`."""
    return items.read(given["input"]) if "input" in given else []


def submission(given: Mapping[str, Any], said: list[dict[str, Any]], wishes: Wishes) -> Submission[Asked]:
    """The job that sums up what was `said`. Raises `PreviousResponseMissing`."""
    wish = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": compaction.SUM_UP}]}
    asked = Asked(
        items=(*said, wish),
        answer=Generation(max_tokens=compaction.MAX_TOKENS),
        instructions=given.get("instructions"),
        previous=previous(given),
        truncates=True,
    )
    return Submission(
        type=CompactKind.name,
        model=given.get("model"),
        request=asked,
        lane=wishes.lane,
        priority=wishes.priority,
        timing=wishes.timing,
        store=wishes.store,
    )
