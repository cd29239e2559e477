"""What an answer used, as OpenAI tells it."""

from collections.abc import Mapping

from dialects.openai.answers import CompletionUsage
from tasks.jobs.view import JobView


def of(job: JobView) -> CompletionUsage:
    """What an ended job spent; of one that was made of several, what they spent together."""
    used = (job.result or {}).get("usage") or {
        "prompt_tokens": job.spent.prompt,
        "completion_tokens": job.spent.completion,
    }
    return _usage(used, job.spent.cached)


def _usage(used: Mapping[str, int], cached: int) -> CompletionUsage:
    prompt, completion = used["prompt_tokens"], used["completion_tokens"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "audio_tokens": 0,
            "cached_tokens": cached,
            "cache_write_tokens": 0,
            "image_tokens": 0,
            "text_tokens": prompt,
        },
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": 0,
            "rejected_prediction_tokens": 0,
            "text_tokens": completion,
        },
    }
