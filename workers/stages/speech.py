"""What a model may say in answer to a request: anything, a JSON text of a schema, calls of functions."""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tasks import errors
from tasks.kinds.generation import Generation, Tool
from tasks.models.engine import OUR_CALLS, CallFormat
from tasks.shapes import grammar as grammars
from tasks.shapes import json_text
from tasks.shapes.following import rest
from tasks.shapes.gbnf import gbnf
from tasks.shapes.grammar import Grammar, Node, Reference
from tasks.shapes.parent import Shaper
from tasks.streams.events import Delta, ToolCall

_DECODER = json.JSONDecoder()


class Calls(enum.Enum):
    """Where in what is said functions may be called."""

    NOWHERE = "nowhere"
    AFTER_TEXT = "after text"  # text that is anything, then calls if any
    INSTEAD = "instead"  # calls, or a text that has a schema
    ONLY = "only"  # calls, and nothing else


@dataclass(frozen=True, slots=True)
class Called:
    """A call that a text has: where the text before it ends, and where what follows it begins."""

    name: str
    arguments: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Speech:
    """What may be said, and how it is read. `grammar` None allows everything.

    `held` says that nothing may be told before all has been said and checked: the schema asks for more than a grammar
    can hold a model to. `schema` is the whole text's, where it must have one; `tools` has those of the arguments, by
    the functions' names.
    """

    grammar: Grammar | None = None
    calls: Calls = Calls.NOWHERE
    format: CallFormat = OUR_CALLS
    held: bool = False
    schema: Mapping[str, Any] | None = None
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

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
                text += (self.format.separator if calls else "") + self.written(event)
                calls += 1
        return text

    def written(self, call: ToolCall) -> str:
        return f"{self.format.before}{call.name}{self.format.between}{call.arguments}{self.format.after}"

    def opening(self, text: str) -> int:
        """Where the first call begins in the text, or may turn out to have begun; the text's length where none does."""
        if self.calls is Calls.ONLY:
            return 0
        places = range(len(text) if self.calls is Calls.AFTER_TEXT else min(len(text), 1))
        return next((at for at in places if self._may_be_a_call(text[at:])), len(text))

    def has_begun(self, text: str) -> bool:
        """Whether the text has the whole beginning of a call."""
        return self.calls is not Calls.NOWHERE and text.startswith(self.format.before, self.opening(text))

    def call(self, text: str, *, first: bool = True) -> Called | None:
        """The first call in the text, if it is whole; one that isn't the answer's `first` may begin anywhere."""
        before, between, after = self.format.before, self.format.between, self.format.after
        start = self.opening(text) if first else text.find(before)
        name_at = start + len(before)
        name_end = text.find(between, name_at)
        if not text.startswith(before, max(start, 0)) or name_end < 0:
            return None
        begin = name_end + len(between)
        try:
            _, end = _DECODER.raw_decode(text, begin)
        except (ValueError, RecursionError):
            return None
        if not text.startswith(after, end):
            return None
        return Called(text[name_at:name_end], text[begin:end], start, end + len(after))

    def _may_be_a_call(self, text: str) -> bool:
        before, between = self.format.before, self.format.between
        if not text.startswith(before):
            return before.startswith(text)
        name, named, _ = text[len(before) :].partition(between)
        return name in self.tools if named else any(f"{tool}{between}".startswith(name) for tool in self.tools)


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
    calls = _calls(_offered(asked), format, shaper, asked.parallel_tool_calls)
    tools = {tool.name: dict(tool.parameters) or _ANY for tool in _offered(asked)}
    if asked.tool_choice not in (None, "auto"):
        return Speech(calls, Calls.ONLY, format, tools=tools)
    if shape is not None:
        return Speech(grammars.either(shape, calls), Calls.INSTEAD, format, not exact, schema, tools)
    return Speech(_text_then(format.before, _after(calls, format)), Calls.AFTER_TEXT, format, tools=tools)


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
