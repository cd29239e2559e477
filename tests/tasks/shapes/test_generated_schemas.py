"""What is promised of every schema, of a thousand that a generator makes."""

import json
import random

import pytest

from tasks import errors
from tasks.shapes import check, following, gbnf, schema
from tests.support import schemas, wild_schemas

SEEDS = range(1_000)
_SHARE = 50


@pytest.mark.parametrize("first", SEEDS[::_SHARE])
def test_texts_drawn_from_the_grammar_satisfy_the_schema(first: int) -> None:
    """Whatever an exact grammar allows, the library finds no fault with; and all of it is JSON."""
    for seed in range(first, first + _SHARE):
        told, _ = schemas.Schemas(seed).pair()
        compiled = schema.compile(told)
        for draw in range(3):
            text = schemas.draw(compiled.grammar, draw)
            fault = check.faults(told, json.loads(text))
            assert fault is None or not compiled.exact, (seed, text)


@pytest.mark.parametrize("first", SEEDS[::_SHARE])
def test_valid_values_are_accepted_compact_and_spaced(first: int) -> None:
    """A value that satisfies the schema, its properties in order, may be written with spaces or without."""
    for seed in range(first, first + _SHARE):
        told, value = schemas.Schemas(seed).pair()
        assert check.faults(told, value) is None, seed
        grammar = schema.compile(told).grammar
        for separators in ((",", ":"), (", ", ": ")):
            text = json.dumps(value, separators=separators, ensure_ascii=False)
            assert following.accepts(grammar, text), (seed, text)


@pytest.mark.parametrize("first", SEEDS[::_SHARE])
def test_what_follows_a_part_is_the_rest(first: int) -> None:
    """Cut anywhere, the grammar of the rest allows the remainder, nothing that is wrong, and can be printed."""
    for seed in range(first, first + _SHARE):
        told, _ = schemas.Schemas(seed).pair()
        compiled = schema.compile(told)
        text = schemas.draw(compiled.grammar, seed)
        at = random.Random(seed).randint(0, len(text))
        rest = following.rest(compiled.grammar, text[:at])
        assert rest is not None, (seed, text[:at])
        assert following.accepts(rest, text[at:]), (seed, text, at)
        assert gbnf.gbnf(rest).startswith("root ::= ")
        another = text[:at] + schemas.draw(rest, seed)
        assert following.accepts(compiled.grammar, another), (seed, another)


@pytest.mark.parametrize("first", range(0, 500, _SHARE))
def test_exact_grammar_of_keywords_thrown_together_is_exact(first: int) -> None:
    """Either the schema is refused, or the check is asked for, or no text needs it."""
    for seed in range(first, first + _SHARE):
        told = wild_schemas.Wild(seed).schema()
        try:
            compiled = schema.compile(told)
        except errors.SchemaRefused:
            continue
        for draw in range(3):
            text = schemas.draw(compiled.grammar, draw, effort=40)
            if compiled.exact:
                assert check.faults(told, json.loads(text)) is None, (seed, text)
            at = random.Random(draw).randint(0, len(text))
            rest = following.rest(compiled.grammar, text[:at])
            assert rest is not None, (seed, text[:at])
            assert following.accepts(rest, text[at:]), (seed, text, at)
