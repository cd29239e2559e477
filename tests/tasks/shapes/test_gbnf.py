"""llama.cpp's notation."""

import pytest

from tasks.shapes import json_text, schema
from tasks.shapes.gbnf import gbnf
from tasks.shapes.grammar import (
    NEVER,
    Grammar,
    Reference,
    characters,
    choice,
    literal,
    other_than,
    repeat,
    sequence,
)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (literal('a"b\\c\n\x01é😀'), '"a\\"b\\\\c\\n\\x01\\xE9\\U0001F600"'),
        (characters(']^-[\\"a\u65e5'), '["\\x2D\\[-\\x5Ea\\u65E5]'.replace('["', '[\\"')),
        (other_than("\n"), "[\\x00-\\t\\x0B-\\uD7FF\\uE000-\\U0010FFFF]"),
        (repeat(literal("a"), 0, 1), '"a"?'),
        (repeat(literal("a"), 2, None), '"a"{2} "a"*'),
        (repeat(literal("a"), 2, 5), '"a"{2} "a"{0,3}'),
        (sequence(literal("a"), Reference("r-1")), '"a" r-1'),
        (choice(literal("a"), literal("")), '"a" | ""'),
    ],
)
def test_node_is_written(node: object, text: str) -> None:
    """Escapes, classes without negation, repetitions."""
    assert gbnf(Grammar(node, {"r-1": literal("r")})).splitlines()[0] == f"root ::= {text}"  # type: ignore[arg-type]


def test_inner_choices_and_repeated_texts_are_rules() -> None:
    """What is repeated is one symbol, so that llama.cpp doesn't multiply its rules."""
    node = sequence(literal("a"), choice(literal("b"), literal("c")), repeat(literal("de"), 0, 3))
    assert gbnf(Grammar(node)) == 'root ::= "a" x0 x1{0,3}\nx0 ::= "b" | "c"\nx1 ::= "de"\n'


def test_long_repetitions_take_few_rules() -> None:
    """Some 2·√n of them, none of which repeats more often than llama.cpp accepts."""
    text = gbnf(Grammar(repeat(literal("a"), 50_000, 150_000)))
    assert text.count("\n") < 700
    assert max(int(part.split("}")[0].split(",")[-1]) for part in text.split("{")[1:]) < 2_000


def test_rule_named_root_is_renamed() -> None:
    """Where a text begins is llama.cpp's `root`."""
    text = gbnf(Grammar(sequence(literal("("), Reference("root"), literal(")")), {"root": literal("x")}))
    assert text == 'root ::= "(" x-root ")"\nx-root ::= "x"\n'


def test_same_part_is_written_once() -> None:
    """However often it stands in a schema."""
    told = {"type": "array", "prefixItems": [{"type": "object", "additionalProperties": {"enum": ["a", "b"]}}] * 50}
    assert len(gbnf(schema.compile(told).grammar)) < 4_000


def test_grammar_of_nothing_cant_be_written() -> None:
    """A model would be stuck at once."""
    with pytest.raises(ValueError, match="no text"):
        gbnf(Grammar(NEVER))


def test_any_json_is_small() -> None:
    """The grammar that is used most."""
    assert len(gbnf(json_text.any_object())) < 1_500
