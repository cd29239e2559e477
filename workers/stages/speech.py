"""What a model may say in answer to a request: anything, a JSON text of a schema, calls of functions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks import errors
from tasks.kinds.generation import Generation, Tool
from tasks.models.engine import CallFormat
from tasks.shapes import grammar as grammars
from tasks.shapes import json_text
from tasks.shapes.following import rest
from tasks.shapes.gbnf import gbnf
from tasks.shapes.grammar import Grammar, Node, Reference
from tasks.shapes.parent import Shaper
from tasks.streams.events import Delta, ToolCall

_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Called:
    """A call that a text has: where the text before it ends, and where what follows it begins."""

    name: str
    arguments: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Speech:
    """What may be said, and how it is read. `grammar` None allows everything, `format` None no calls.

    `held` says that nothing may be told before all has been said and checked: the schema asks for more than a grammar
    can hold a model to.
    """

    grammar: Grammar | None = None
    format: CallFormat | None = None
    held: bool = False
    schema: Mapping[str, Any] | None = None  # the whole text's, where it must have one
    tools: Mapping[str, Mapping[str, Any]] | None = None  # the schemas of arguments, by the functions' names

    def left(self, said: str) -> str | None:
        """GBNF of what may follow; None for anything. Raises `EngineRefused` where nothing may: what was said before an
        interruption isn't what the grammar allows."""
        if self.grammar is None:
            return None
        left = rest(self.grammar, said) if said else self.grammar
        if left is None:
            raise errors.EngineRefused("interrupted: what was said before doesn't fit its schema")
        return gbnf(left)

    def raw(self, said: Sequence[Delta | ToolCall]) -> str:
        """The text as the model wrote it."""
        text, calls = "", 0
        for event in said:
            if isinstance(event, Delta):
                text += event.text
            else:
                assert self.format is not None
                text += (self.format.separator if calls else "") + self.written(event)
                calls += 1
        return text

    def written(self, call: ToolCall) -> str:
        assert self.format is not None
        return f"{self.format.before}{call.name}{self.format.between}{call.arguments}{self.format.after}"

    def call(self, text: str) -> Called | None:
        """The first call in the text, if it is whole."""
        found = self.format
        if found is None or (start := text.find(found.before)) < 0:
            return None
        name_at = start + len(found.before)
        name_end = text.find(found.between, name_at)
        if name_end < 0:
            return None
        begin = name_end + len(found.between)
        try:
            _, end = _DECODER.raw_decode(text, begin)
        except ValueError:
            return None
        if not text.startswith(found.after, end):
            return None
        return Called(text[name_at:name_end], text[begin:end], start, end + len(found.after))

    def beginning(self, text: str) -> int:
        """How many characters at its end could be the beginning of a call; all from there, where one has begun."""
        if self.format is None:
            return 0
        before = self.format.before
        if (start := text.find(before)) >= 0:
            return len(text) - start
        longest = min(len(before) - 1, len(text))
        return next((length for length in range(longest, 0, -1) if text.endswith(before[:length])), 0)


ANYTHING = Speech()
OVER = gbnf(Grammar(grammars.EMPTY))  # of a rest: all has been said


def of(asked: Generation, format: CallFormat, shaper: Shaper) -> Speech:
    """What may be said in answer to this. Raises `SchemaRefused`."""
    # An answer's beginning is told without its white space.
    bare = format.before.lstrip()
    format = replace(format, before=bare, separator=format.separator + format.before.removesuffix(bare))
    may_call = bool(asked.tools) and asked.tool_choice != "none"
    if not may_call and asked.shape is None:
        return ANYTHING
    shape, exact, schema = None, True, None
    if asked.shape is not None:
        shape, exact, schema = _shape(asked.shape.schema, shaper)
    if not may_call:
        return Speech(shape, held=not exact, schema=schema)
    tools = _offered(asked)
    calls = _calls(tools, format, shaper, asked.parallel_tool_calls)
    if asked.tool_choice in (None, "auto"):
        calls = grammars.either(shape, calls) if shape else _text_then(format.before, _after(calls, format))
    schemas = {tool.name: dict(tool.parameters) or _ANY for tool in tools}
    return Speech(calls, format, not exact, schema, schemas)


_ANY: Mapping[str, Any] = {"type": "object", "additionalProperties": True}


def _shape(schema: Mapping[str, Any] | None, shaper: Shaper) -> tuple[Grammar, bool, Mapping[str, Any]]:
    """The grammar, whether it says all that the schema does, and the schema."""
    if schema is None:
        return json_text.any_object(), True, {"type": "object"}
    compiled = shaper.compile(schema, "response_format.json_schema.schema")
    return compiled.grammar, compiled.exact, schema


def _offered(asked: Generation) -> tuple[Tool, ...]:
    """The tools that may be called: the one that must, where it is named."""
    if asked.tool_choice in (None, "auto", "required"):
        return asked.tools
    return tuple(tool for tool in asked.tools if tool.name == asked.tool_choice)


def _calls(tools: Sequence[Tool], format: CallFormat, shaper: Shaper, parallel: bool) -> Grammar:
    one = grammars.either(*(_call(tool, format, shaper) for tool in tools))
    most = None if parallel and format.parallel else 1
    return grammars.repeated(one, 1, most, format.separator)


def _call(tool: Tool, format: CallFormat, shaper: Shaper) -> Grammar:
    arguments = (
        shaper.compile(tool.parameters, f"tools.{tool.name}.parameters").grammar
        if tool.parameters
        else json_text.any_object()
    )
    return grammars.joined(format.before + tool.name + format.between, arguments, format.after)


def _after(calls: Grammar, format: CallFormat) -> Grammar:
    """What of the calls follows the first one's `before`."""
    left = rest(calls, format.before)
    assert left is not None
    return left


def _text_then(mark: str, calls: Grammar) -> Grammar:
    """Any text; where the mark comes up in it, the calls follow and nothing else (Knuth, Morris and Pratt's automaton:
    the rule `said-N` stands where the last N characters are the mark's first)."""
    rules: dict[str, Node] = dict(calls.rules)
    for known in range(len(mark)):
        arms: list[Node] = [grammars.EMPTY]
        for character in dict.fromkeys(mark):
            reached = _known(mark, mark[:known] + character)
            following = calls.root if reached == len(mark) else Reference(f"said-{reached}")
            arms.append(grammars.sequence(grammars.literal(character), following))
        arms.append(grammars.sequence(grammars.other_than(mark), Reference("said-0")))
        rules[f"said-{known}"] = grammars.choice(*arms)
    return Grammar(Reference("said-0"), rules)


def _known(mark: str, text: str) -> int:
    """How many of the mark's first characters are the text's last."""
    return next((length for length in range(min(len(mark), len(text)), 0, -1) if text.endswith(mark[:length])), 0)
