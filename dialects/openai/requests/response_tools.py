"""Tools and shapes of answers as `/v1/responses` has them: flatter than those of chats."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dialects.fields import STORABLE
from dialects.openai.requests import file_search
from tasks import errors
from tasks.kinds.generation import Shape, Tool

MAX_TOOLS = 128
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SCHEMA = {"type": ["object", "null"], "description": "A JSON schema."}

TOOL = {
    "type": "object",
    "description": "Of the type `function`, or one `file_search` in vector stores; others are refused.",
    "properties": {
        "type": {"type": "string"},
        "vector_store_ids": {"type": "array", "items": {"type": "string"}, "description": "Of `file_search`."},
        "max_num_results": {"type": "integer"},
        "filters": {"type": ["object", "null"], "description": "As a vector store's search has them."},
        "ranking_options": {"type": ["object", "null"], "description": "As a vector store's search has them."},
        "name": {"type": "string", "pattern": f"^{_NAME.pattern}$"},
        "description": {"type": ["string", "null"], **STORABLE},
        "parameters": _SCHEMA,
        "strict": {"type": ["boolean", "null"], "description": "Arguments fit their schema either way."},
    },
    "required": ["type"],
}
CHOICE = {
    "description": "`none`, `auto`, `required`, a function, `file_search`, or `allowed_tools`.",
    "oneOf": [
        {"type": "string", "enum": ["none", "auto", "required"]},
        {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "name": {"type": "string"},
                "mode": {"type": "string", "enum": ["auto", "required"]},
                "tools": {"type": "array", "items": {"type": "object"}},
            },
        },
        {"type": "null"},
    ],
}
FORMAT = {
    "description": "`text`, `json_object`, or `json_schema` with a schema that the answer always fits.",
    "type": ["object", "null"],
    "properties": {
        "type": {"type": "string", "enum": ["text", "json_object", "json_schema"]},
        "name": {"type": "string"},
        "description": {"type": "string"},
        "schema": {"type": "object", "description": "A JSON schema."},
        "strict": {"type": ["boolean", "null"]},
    },
}


def tools(given: Sequence[Any], choice: Any) -> tuple[tuple[Tool, ...], str | None]:
    """The functions, and `auto`, `none`, `required` or one's name. Raises `InvalidField`, `Unsupported`."""
    choice = file_search.choice_of_functions(given, choice)
    functions = enumerate(file_search.functions(given))
    named = tuple(_tool(tool, f"tools.{number}") for number, tool in functions if tool is not None)
    if len({tool.name for tool in named}) < len(named):
        raise errors.InvalidField("tools", "two of them have the same name")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        return _allowed(named, choice)
    return named, _choice(choice, named)


def _tool(given: Any, path: str) -> Tool:
    if not isinstance(given, Mapping) or not isinstance(given.get("type"), str):
        raise errors.InvalidField(f"{path}.type", "must be a tool's type, as in `function`")
    if given["type"] != "function":
        raise errors.Unsupported(
            f"{path}.type", f"{given['type'][:64]} isn't supported: only functions and file_search can be had"
        )
    name, description, parameters = given.get("name"), given.get("description"), given.get("parameters")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise errors.InvalidField(f"{path}.name", "1 to 64 letters, digits, _ and -")
    if description is not None and not isinstance(description, str):
        raise errors.InvalidField(f"{path}.description", "must be a text")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise errors.InvalidField(f"{path}.parameters", "must be a JSON schema")
    return Tool(name, description, parameters or {})


def _choice(choice: Any, among: Sequence[Tool]) -> str | None:
    if choice is None:
        return None
    if choice == "required" and not among:
        raise errors.InvalidField("tool_choice", "there are no tools")
    if choice in ("auto", "none", "required"):
        return str(choice)
    if not isinstance(choice, Mapping):
        raise errors.InvalidField("tool_choice", "must be `none`, `auto`, `required` or a function")
    if choice.get("type") != "function":
        raise errors.Unsupported("tool_choice.type", "only functions can be called here")
    if choice.get("name") not in [tool.name for tool in among]:
        raise errors.InvalidField("tool_choice.name", "names no function that is given")
    return str(choice["name"])


def _allowed(among: Sequence[Tool], choice: Mapping[str, Any]) -> tuple[tuple[Tool, ...], str]:
    if choice.get("mode") not in ("auto", "required"):
        raise errors.InvalidField("tool_choice.mode", "must be `auto` or `required`")
    wanted = choice.get("tools")
    names = [tool.get("name") for tool in wanted if isinstance(tool, Mapping)] if isinstance(wanted, list) else []
    chosen = tuple(tool for tool in among if tool.name in names)
    if not chosen or not all(name in [tool.name for tool in chosen] for name in names):
        raise errors.InvalidField("tool_choice.tools", "must be some of the tools that are given")
    return chosen, str(choice["mode"])


def shape(given: Any) -> Shape | None:
    """What `text.format` asks for. Raises `InvalidField`."""
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return Shape()
    if kind != "json_schema":
        raise errors.InvalidField("text.format.type", "must be `text`, `json_object` or `json_schema`")
    if not isinstance(given.get("schema"), Mapping):
        raise errors.InvalidField("text.format.schema", "must be a JSON schema")
    return Shape(given["schema"])
