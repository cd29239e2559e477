"""Tools that a model may want called, and what it must answer with."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import fields, validate

from dialects.fields import STORABLE, Flag, Given
from dialects.openai.requests import elsewhere
from tasks import errors
from tasks.kinds.generation import Shape, Tool

MAX_TOOLS = 128
_NAME = r"^[a-zA-Z0-9_-]{1,64}$"
_SCHEMA = {"type": "object", "description": "A JSON schema."}


class Function(Given):
    name = fields.String(required=True, validate=validate.Regexp(_NAME, error="1 to 64 letters, digits, _ and -"))
    description = fields.String(allow_none=True, metadata=STORABLE)
    parameters = fields.Dict(allow_none=True, metadata=_SCHEMA)
    strict = Flag(allow_none=True, metadata={"description": "Arguments fit their schema either way."})


class FunctionTool(Given):
    type = fields.String(required=True, validate=validate.OneOf(("function", "custom")))
    function = fields.Nested(Function)
    custom = fields.Raw(metadata=elsewhere.CUSTOM_TOOL)


class Choice(fields.Field[Any]):
    """`tool_choice`, `function_call` and `response_format` are looked at when the rest is known."""


_NAMED = {"type": "object", "properties": {"name": {"type": "string"}}}
CHOICE = {
    "description": "`none`, `auto`, `required`, a function, or `allowed_tools`.",
    "oneOf": [
        {"type": "string", "enum": ["none", "auto", "required"]},
        {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "function": _NAMED,
                "allowed_tools": {
                    "type": "object",
                    "properties": {
                        "mode": {"type": "string", "enum": ["auto", "required"]},
                        "tools": {"type": "array", "items": {"type": "object"}},
                    },
                },
                "custom": _NAMED | {"description": elsewhere.CUSTOM_TOOL["description"]},
            },
        },
        {"type": "null"},
    ],
}
OLDER_CHOICE = {
    "description": "The older `tool_choice`: `none`, `auto` or a function.",
    "oneOf": [{"type": "string", "enum": ["none", "auto"]}, _NAMED, {"type": "null"}],
}
FORMAT = {
    "description": "`text`, `json_object`, or `json_schema` with a schema that the answer always fits.",
    "type": ["object", "null"],
    "properties": {
        "type": {"type": "string", "enum": ["text", "json_object", "json_schema"]},
        "json_schema": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "description": {"type": "string"},
                "schema": _SCHEMA,
                "strict": {"type": ["boolean", "null"]},
            },
        },
    },
}


def tools(given: Mapping[str, Any], served: Sequence[Tool] = ()) -> tuple[tuple[Tool, ...], str | None]:
    """The tools, those that are `served` here among them, and `auto`, `none`, `required` or a tool's name.

    Raises `InvalidField`, `Unsupported`.
    """
    if "functions" in given and "tools" in given:
        raise errors.InvalidField("functions", "give `tools` or the older `functions`, not both")
    named = [_tool(function) for function in given.get("functions", ())] or _tools(given.get("tools", ()))
    named += served
    field = "function_call" if "function_call" in given else "tool_choice"
    choice = given.get(field)
    if len({tool.name for tool in named}) < len(named):
        raise errors.InvalidField("tools", "two of them have the same name")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        return _allowed(named, choice)
    return tuple(named), _choice(choice, field, named)


def _tools(given: Sequence[Mapping[str, Any]]) -> list[Tool]:
    for number, tool in enumerate(given):
        if tool["type"] != "function":
            raise errors.Unsupported(f"tools.{number}.type", "only functions can be called here")
        if "function" not in tool:
            raise errors.InvalidField(f"tools.{number}.function", "is missing")
    return [_tool(tool["function"]) for tool in given]


def _tool(function: Mapping[str, Any]) -> Tool:
    return Tool(function["name"], function.get("description"), function.get("parameters") or {})


def _choice(choice: Any, field: str, among: Sequence[Tool]) -> str | None:
    if choice is None:
        return None
    if choice in ("auto", "none"):
        return str(choice)
    if choice == "required" and field == "tool_choice":
        _require_some(among, field)
        return "required"
    if isinstance(choice, Mapping):
        function = choice.get("function", {}) if field == "tool_choice" else choice
        name = function.get("name") if isinstance(function, Mapping) else None
        if name not in [tool.name for tool in among]:
            raise errors.InvalidField(field, "names no function that is given")
        return str(name)
    raise errors.InvalidField(field, "must be `none`, `auto`, `required` or a function")


def _allowed(among: Sequence[Tool], choice: Mapping[str, Any]) -> tuple[tuple[Tool, ...], str]:
    allowed = choice.get("allowed_tools")
    if not isinstance(allowed, Mapping) or allowed.get("mode") not in ("auto", "required"):
        raise errors.InvalidField("tool_choice.allowed_tools.mode", "must be `auto` or `required`")
    wanted = allowed.get("tools")
    names = {_name(tool) for tool in wanted} if isinstance(wanted, list) else set()
    chosen = tuple(tool for tool in among if tool.name in names)
    if not chosen or len(chosen) < len(names):
        raise errors.InvalidField("tool_choice.allowed_tools.tools", "must be some of the tools that are given")
    return chosen, str(allowed["mode"])


def _name(tool: Any) -> str | None:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) and re.fullmatch(_NAME, name) else None


def _require_some(among: Sequence[Tool], field: str) -> None:
    if not among:
        raise errors.InvalidField(field, "there are no tools")


def shape(given: Any) -> Shape | None:
    """What `response_format` asks for. Raises `InvalidField`."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise errors.InvalidField("response_format", "must be an object")
    kind = given.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return Shape()
    if kind != "json_schema":
        raise errors.InvalidField("response_format.type", "must be `text`, `json_object` or `json_schema`")
    wanted = given.get("json_schema")
    if not isinstance(wanted, Mapping) or not isinstance(wanted.get("schema"), Mapping):
        raise errors.InvalidField("response_format.json_schema.schema", "must be a JSON schema")
    return Shape(wanted["schema"])
