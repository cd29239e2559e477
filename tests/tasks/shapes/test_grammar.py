"""Grammars are put together from parts, and travel between processes."""

import json

from tasks.shapes import following, json_text, schema
from tasks.shapes.grammar import (
    EMPTY,
    NEVER,
    Characters,
    Choice,
    Grammar,
    Literal,
    Reference,
    Repeat,
    Sequence,
    characters,
    choice,
    either,
    joined,
    literal,
    other_than,
    repeat,
    repeated,
    sequence,
)


def test_sequences_are_opened_and_texts_joined() -> None:
    """What can be said in one node isn't said in several."""
    made = sequence(literal("a"), sequence(literal("b"), EMPTY, characters("xy")), literal("c"))
    assert made == Sequence((Literal("ab"), Characters(((0x78, 0x79),)), Literal("c")))
    assert sequence() is EMPTY
    assert sequence(literal("a"), NEVER) == NEVER


def test_choices_are_opened_and_say_nothing_twice() -> None:
    """An arm that stands there twice would be followed twice."""
    assert choice(literal("a"), choice(literal("b"), literal("a"))) == Choice((Literal("a"), Literal("b")))
    assert choice(literal("a")) == Literal("a")
    assert choice() == NEVER


def test_repetition_of_nothing_is_nothing() -> None:
    """What can't be, repeated no time, is the empty text."""
    assert repeat(NEVER) is EMPTY
    assert repeat(NEVER, 1) == NEVER
    assert repeat(literal("a"), 0, 0) is EMPTY
    assert repeat(literal("a"), 2, 1) == NEVER
    assert repeat(literal("a"), 1, 1) == Literal("a")
    assert repeat(literal("a"), 1, 2) == Repeat(Literal("a"), 1, 2)


def test_rules_of_one_name_are_told_apart_when_they_differ() -> None:
    """Two compiled schemas can stand in one grammar."""
    number = schema.compile(
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "integer"}}}
    )
    text = schema.compile(
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}
    )
    both = either(joined("<one>", number.grammar), joined("<two>", text.grammar))
    assert following.accepts(both, '<one>{"a":1}')
    assert following.accepts(both, '<two>{"a":"x"}')
    assert not following.accepts(both, '<two>{"a":1}')


def test_tool_calls_are_repeated_between_marks() -> None:
    """What a caller makes of them: one to three calls, each in its marks."""
    call = joined("<tool_call>", json_text.any_object(), "</tool_call>")
    calls = repeated(call, 1, 3, between="\n")
    one = '<tool_call>{"name":"f","arguments":{}}</tool_call>'
    assert following.accepts(calls, one)
    assert following.accepts(calls, f"{one}\n{one}\n{one}")
    assert not following.accepts(calls, "")
    assert not following.accepts(calls, f"{one}\n{one}\n{one}\n{one}")
    assert following.accepts(repeated(call, 0, 3, between="\n"), "")


def test_grammar_travels_as_json() -> None:
    """It is the same after the way to another process."""
    grammar = Grammar(
        choice(sequence(literal("é\n"), repeat(other_than("x"), 1, None)), Reference("a-1")),
        {"a-1": repeat(characters("ab", (0x30, 0x39)), 0, 7)},
    )
    assert Grammar.from_json(json.loads(json.dumps(grammar.to_json()))) == grammar
