"""How likely tokens were, as OpenAI tells it: in one way in chats, in an older one in completions."""

from collections.abc import Sequence
from typing import Any

from dialects.openai.answers import ChoiceLogprobs, CompletionLogprobs, TokenLogprob
from tasks.models.logprobs import Logprob


def of(result: dict[str, Any]) -> list[Logprob]:
    """Those that a job's result has."""
    return [Logprob.from_plain(*plain) for plain in result.get("logprobs", ())]


def chat(told: Sequence[Logprob]) -> ChoiceLogprobs | None:
    return {"content": [_token(each) for each in told], "refusal": None} if told else None


def _token(told: Logprob) -> TokenLogprob:
    return {
        "token": told.token,
        "logprob": told.logprob,
        "bytes": list(told.piece),
        "top_logprobs": [
            {"token": each.token, "logprob": each.logprob, "bytes": list(each.piece)} for each in told.top
        ],
    }


def completion(told: Sequence[Logprob], offset: int = 0) -> CompletionLogprobs | None:
    """`offset` is how many characters stand before these tokens."""
    if not told:
        return None
    offsets = []
    for each in told:
        offsets.append(offset)
        offset += len(each.token)
    return {
        "text_offset": offsets,
        "token_logprobs": [each.logprob for each in told],
        "tokens": [each.token for each in told],
        "top_logprobs": [{other.token: other.logprob for other in each.top} for each in told],
    }
