"""A function's parameters: the JSON schema of its arguments, and arguments read by it. Pydantic does both."""

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from tasks.errors import InvalidField

ARGUMENTS = "arguments"  # where clients put them, and where the path of what is wrong begins

# JSON says what is a number and what a text: "5" is no number here. But 5 is one where a float is wanted.
_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
# What pydantic says in Python's words.
_PLAINER = {
    "arguments_type": "must be a JSON object",
    "missing_keyword_only_argument": "is missing",
    "unexpected_keyword_argument": "there is no such argument",
}
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function takes. `schema` is the JSON schema of an object."""

    schema: Mapping[str, Any]
    _adapter: TypeAdapter[Any]

    def read(self, arguments: str) -> dict[str, Any]:
        """The arguments in a JSON object, by name, with the defaults of those that aren't there; of nothing, all.

        Raises `InvalidField` with the path of what is wrong.
        """
        text = arguments.strip() or "{}"
        if text[0] == "[":  # which pydantic would take in the parameters' order
            raise InvalidField(ARGUMENTS, _PLAINER["arguments_type"])
        try:
            return dict(self._adapter.validate_json(text))
        except ValidationError as error:
            raise _wrong(error) from error


def of(function: Callable[..., Any], descriptions: Mapping[str, str]) -> Parameters:
    """The function's parameters by their annotations; a text in `Annotated` goes before a description given here.

    Raises `ValueError` for what can't be given by name, or has no annotation, or one that JSON has nothing for.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    taken = [_named(function, parameter, hints) for parameter in inspect.signature(function).parameters.values()]

    given: Any = lambda **arguments: arguments  # noqa: E731 - called in the function's place with what fits
    given.__signature__ = inspect.Signature([each.replace(kind=each.KEYWORD_ONLY) for each in taken])
    given.__annotations__ = {each.name: hints[each.name] for each in taken}
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(given, config=_STRICT)
        schema = adapter.json_schema(schema_generator=_Untitled)
    except PydanticUserError as error:  # of which the errors of schemas are some
        raise ValueError(f"{function.__name__}: {error.message}") from error
    for name, member in schema["properties"].items():
        if told := _described(hints[name]) or descriptions.get(name):
            member["description"] = told
    return Parameters(schema, adapter)


class _Untitled(GenerateJsonSchema):
    """Names are there already; as titles too they only make prompts longer."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def _named(function: Callable[..., Any], parameter: inspect.Parameter, hints: Mapping[str, Any]) -> inspect.Parameter:
    if parameter.kind not in _BY_NAME:
        raise ValueError(f"{function.__name__}: {parameter.name} can't be given by name")
    if parameter.name not in hints:
        raise ValueError(f"{function.__name__}: {parameter.name} has no annotation")
    return parameter


def _described(hint: Any) -> str | None:
    """The text in an `Annotated`."""
    return next((each for each in getattr(hint, "__metadata__", ()) if isinstance(each, str)), None)


def _wrong(error: ValidationError) -> InvalidField:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(map(str, (ARGUMENTS, *first["loc"])))
    return InvalidField(path[:200], _PLAINER.get(first["type"], first["msg"].removeprefix("Value error, ")[:500]))
