"""Fields of OpenAI's that ask for what no model here can do, as its clients write them. Each is refused by its name,
or read and not heeded where nothing depends on it: they are described so that this can be seen on the page."""

from typing import Any

Described = dict[str, Any]

REFUSED = "Refused: models here read and write text."
UNHEEDED = "Read and not heeded."

_TEXT: Described = {"type": "string"}


def _object(members: Described, description: str | None = None, *, nullable: bool = False) -> Described:
    told = {"type": ["object", "null"] if nullable else "object", "properties": members}
    return told if description is None else told | {"description": description}


def _one_of(*values: str) -> Described:
    return {"type": "string", "enum": list(values)}


def _anything(*names: str, **members: Described) -> Described:
    """What isn't looked at: members that may be there, whatever they are."""
    return {"properties": {**{name: {} for name in names}, **members}, "description": UNHEEDED}


_MODE = _object({"mode": _one_of("score", "block")}, nullable=True)
_BREAKPOINT = _anything("mode")
_PLACE = _object({name: {"type": ["string", "null"]} for name in ("country", "region", "city", "timezone")})

AUDIO = _object(
    {
        "voice": {"oneOf": [_TEXT, _object({"id": _TEXT})]},
        "format": _one_of("wav", "aac", "mp3", "flac", "opus", "pcm16"),
    },
    REFUSED,
    nullable=True,
)
WEB_SEARCH = _object(
    {
        "user_location": _object({"type": _one_of("approximate"), "approximate": _PLACE}, nullable=True),
        "search_context_size": _one_of("low", "medium", "high"),
    },
    "Refused: nothing here searches the web.",
    nullable=True,
)
MODERATION = _object(
    {"model": _TEXT, "policy": _object({"input": _MODE, "output": _MODE}, nullable=True)},
    "Refused: ask `/v1/moderations`.",
    nullable=True,
)
_OBJECT: Described = {"type": ["object", "null"]}
_PREDICTED = _anything("type", "text", prompt_cache_breakpoint=_BREAKPOINT)
PREDICTION = _anything("type", content={"items": _PREDICTED}) | _OBJECT
CACHING = _anything("mode", "ttl") | _OBJECT
CUSTOM_TOOL = _object(
    {
        "name": _TEXT,
        "description": _TEXT,
        "format": _object(
            {
                "type": _one_of("text", "grammar"),
                "grammar": _object({"definition": _TEXT, "syntax": _one_of("lark", "regex")}),
            }
        ),
    },
    "Refused: only functions can be called here.",
)
CUSTOM_CALL = _object({"name": _TEXT, "input": _TEXT}, "Refused: only functions can be called here.")
SPOKEN = _object({"id": _TEXT}, REFUSED, nullable=True)
# Parts of messages: those that are read, and the others.
TEXT_PART = _object({"type": _one_of("text"), "text": _TEXT, "prompt_cache_breakpoint": _BREAKPOINT})
REFUSAL_PART = _object({"type": _one_of("refusal"), "refusal": _TEXT})
IMAGE_PART = _object({"type": _one_of("image_url"), "image_url": _object({"url": _TEXT, "detail": _TEXT})}, REFUSED)
SOUND_PART = _object(
    {"type": _one_of("input_audio"), "input_audio": _object({"data": _TEXT, "format": _one_of("wav", "mp3")})}, REFUSED
)
FILE_PART = _object(
    {"type": _one_of("file"), "file": _object({"filename": _TEXT, "file_data": _TEXT, "file_id": _TEXT})}, REFUSED
)
