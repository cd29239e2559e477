"""What is said of a field that we don't have: what it is called here, and where, as far as that can be told."""

import difflib
from collections.abc import Collection, Mapping, Sequence

UNKNOWN = "unknown field"

# What other servers call something, and what it is called here.
_ALIASES = {
    "repeat_penalty": "repetition_penalty",
    "num_predict": "max_tokens",
    "n_predict": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "stop_strings": "stop",
    "random_seed": "seed",
    "webhook_url": "url",
    "callback_url": "url",
    "question": "query",
    "query": "question",
    "n_results": "top_k",
    "where": "filter",
}
# What we have in another way.
_SENTENCES = {
    "stream": "no such field: follow GET /v1/jobs/{id}/events",
    "system": "no such field: give a chat a message with the role system",
    "messages": f"{UNKNOWN}: messages are the input of a job of the type chat",
    "prompt": f"{UNKNOWN}: a prompt is the input of a job of the type generate",
}
_MAX_CHARACTERS = 64  # comparing costs the square of it
_NEAR = 0.75


def told(unknown: Sequence[str], paths: Collection[str]) -> tuple[str, str]:
    """Which of the unknown names an answer names, and what it says of it: the first that we have by another name or
    elsewhere, or else the first. The paths (`lane`, `params.top_p`) are of all fields there are.

    Short, whatever the names: only one of them is compared with ours, and none that is long.
    """
    ours = _by_end(paths)
    name = next((name for name in unknown if _ALIASES.get(name, name) in ours), unknown[0])
    return name, _sentence(name, ours)


def _sentence(name: str, ours: Mapping[str, str]) -> str:
    meant = ours.get(_ALIASES.get(name, name))
    if meant is None and name in _SENTENCES:
        return _SENTENCES[name]
    near = meant or _nearest(name, ours)
    return f"{UNKNOWN}; did you mean {near}?" if near else UNKNOWN


def _nearest(name: str, ours: Mapping[str, str]) -> str | None:
    if len(name) > _MAX_CHARACTERS:
        return None
    return next((ours[end] for end in difflib.get_close_matches(name, ours, 1, _NEAR)), None)


def _by_end(paths: Collection[str]) -> dict[str, str]:
    """The paths by their last part; of several with the same one, the shortest."""
    longest_first = sorted(paths, key=lambda path: -path.count("."))
    return {path.rpartition(".")[2]: path for path in longest_first}
