"""Which jobs predictions ask for."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from tasks import errors
from tasks.jobs import prediction
from tasks.jobs.requests import Request, Submission
from tasks.jobs.timing import Timing
from tasks.kinds.embed import Embedding
from tasks.kinds.generation import Generation, Text, Turn
from tasks.kinds.sampling import Sampling
from tasks.models.catalog import Catalog, Model
from webapi.replicate import render
from webapi.replicate.requests import MOST_WAIT_S
from webapi.v1.jobs.accepting import named_webhook

_DRAWN = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "frequency_penalty", "presence_penalty")
_LATEST = "latest"


def model(models: Catalog, given: Mapping[str, Any]) -> Model:
    """The model that `model` or `version` names: `name`, `owner/name`, `owner/name:latest`, whoever owns it.

    Raises `InvalidField` unless one of them is given, `ModelUnknown`.
    """
    named = [name for name in ("model", "version") if name in given]
    if len(named) != 1:
        raise errors.InvalidField("version", "give one of `version` and `model`")
    reference = str(given[named[0]])
    name, _, version = reference.rpartition("/")[2].partition(":")
    found = models.get(reference) or (models.get(name) if version in ("", _LATEST, name) else None)
    if found is None:
        raise errors.ModelUnknown(named[0], f"no model {reference!r}; GET /v1/models lists them")
    return found


def submission(session: Session, given: Mapping[str, Any], asked: Model, cancel_after_s: int | None) -> Submission[Any]:
    """Raises `InvalidField` for what the model can't be given."""
    kind, request = _request(given["input"], asked)
    return Submission(
        kind,
        asked.name,
        request,
        timing=Timing(max_queue_s=cancel_after_s, deadline_s=cancel_after_s),
        webhook=_webhook(session, given),
    )


def wait_s(prefer: str) -> int:
    """Seconds to wait, by `wait` and `wait=N`; 0 where nothing of the kind is said."""
    match = re.search(r"(?:^|[,\s])wait(?:\s*=\s*\"?([0-9]{1,3}))?", prefer)
    if match is None:
        return 0
    return min(MOST_WAIT_S, max(1, int(match[1] or MOST_WAIT_S)))


def _request(given: Mapping[str, Any], asked: Model) -> tuple[str, Request]:
    if asked.embeds:
        return "embed", Embedding(tuple(_texts(given)))
    turns, prompt = _said(given, asked)
    generation = Generation(
        turns=turns,
        prompt=prompt,
        sampling=_sampling(given),
        stop=tuple(given.get("stop", given.get("stop_sequences", ()))),
        seed=given["seed"] % 2**31 if "seed" in given else None,
        max_tokens=given.get("max_tokens", given.get("max_new_tokens")),
    )
    return ("chat" if prompt is None else "generate"), generation


def _texts(given: Mapping[str, Any]) -> list[str]:
    texts: list[str] = given["texts"] if "texts" in given else [given["text"]] if "text" in given else []
    if not texts:
        raise errors.InvalidField("input.texts", "the model embeds: give `texts` or `text`")
    return texts


def _said(given: Mapping[str, Any], asked: Model) -> tuple[tuple[Turn, ...] | None, str | None]:
    """A conversation, or a prompt to be continued as it stands, which is all that some models do."""
    chats, system = "chat" in asked.types, given.get("system_prompt", "")
    if ("messages" in given) == ("prompt" in given):
        raise errors.InvalidField("input.prompt", "give one of `prompt` and `messages`")
    if "prompt" in given and ("prompt_template" in given or not chats):
        if system:
            raise errors.Unsupported("input.system_prompt", "a prompt that is continued as it stands has none")
        return None, given["prompt"]
    if not chats:
        raise errors.Unsupported("input.messages", f"{asked.name} has no conversations")
    said = given.get("messages", [{"role": "user", "content": given.get("prompt")}])
    heard = [{"role": "system", "content": system}] * bool(system)
    return tuple(Turn(one["role"], (Text(one["content"]),)) for one in [*heard, *said]), None


def _sampling(given: Mapping[str, Any]) -> Sampling:
    drawn = {name: given[name] for name in _DRAWN if name in given}
    if drawn.get("top_p") == 0:  # the likeliest token alone
        drawn |= {"top_p": 1.0, "top_k": 1}
    return Sampling(**drawn)


def _webhook(session: Session, given: Mapping[str, Any]) -> dict[str, Any] | None:
    if "webhook" not in given:
        return None
    if "completed" not in given.get("webhook_events_filter", ["completed"]):
        raise errors.Unsupported("webhook_events_filter", "only `completed` is told; the rest is in the stream")
    named = {"url": given["webhook"], "shape": prediction.SHAPE, "root": render.root()}
    return named_webhook(session, {"webhook": named})
