"""What may follow a part of an answer."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.shapes import following, gbnf, json_text, schema
from tasks.shapes.grammar import Grammar, Reference, choice, literal, repeat, sequence

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('abé"\n', max_size=3), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(VALUES, st.data())
def test_every_prefix_of_any_json_has_its_rest(value: object, data: st.DataObject) -> None:
    """Cut anywhere, the rest allows the remainder; it is complete at the end only."""
    text = json.dumps([value], ensure_ascii=data.draw(st.booleans()))
    grammar = json_text.any_value()
    at = data.draw(st.integers(0, len(text)))
    rest = following.rest(grammar, text[:at])
    assert rest is not None
    assert following.accepts(rest, text[at:])
    assert following.complete(rest) == (at == len(text))
    assert not following.accepts(rest, f"{text[at:]}]")


@settings(deadline=None)
@given(VALUES, st.data())
def test_rest_of_a_rest_is_the_rest_of_both(value: object, data: st.DataObject) -> None:
    """An answer may be interrupted again."""
    text = json.dumps({"a": value})
    first, second = sorted(data.draw(st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))))
    once = following.rest(json_text.any_object(), text[:first])
    assert once is not None
    twice = following.rest(once, text[first:second])
    assert twice is not None
    assert following.accepts(twice, text[second:])
    assert not following.accepts(twice, text[second:] + " ")


def test_text_that_nothing_begins_with_has_no_rest() -> None:
    """None, rather than a grammar that allows nothing."""
    assert following.rest(json_text.any_object(), "[") is None
    assert following.rest(json_text.any_object(), '{"a":1}x') is None


def test_rest_at_the_beginning_is_the_grammar() -> None:
    """Nothing said, nothing changed."""
    grammar = schema.compile({"type": "array", "items": {"enum": ["a", "b"]}}).grammar
    assert following.rest(grammar, "") == grammar


def test_repetitions_left_are_counted() -> None:
    """What was said doesn't count twice."""
    grammar = schema.compile({"type": "string", "minLength": 3, "maxLength": 5}).grammar
    rest = following.rest(grammar, '"ab')
    assert rest is not None
    assert [following.accepts(rest, left) for left in ('"', 'c"', 'cde"', 'cdef"')] == [False, True, True, False]


def test_rest_stays_small_in_the_middle_of_long_answers() -> None:
    """Its size depends on the schema and the depth, not on how much has been said."""
    told = {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": {"type": "array", "items": {"enum": [f"v{at}" for at in range(500)]}}},
            "text": {"type": "string", "maxLength": 60_000},
        },
    }
    grammar = schema.compile(told).grammar
    rows = json.dumps({"rows": [["v1", "v499"]] * 1_000, "text": "é" * 10_000}, ensure_ascii=False)
    short, long = following.rest(grammar, '{"rows": [["v1", "v'), following.rest(grammar, rows[:10_000])
    assert short is not None
    assert long is not None
    assert len(gbnf.gbnf(long)) < len(gbnf.gbnf(short)) + 1_000
    text = following.rest(grammar, rows[:-100])
    assert text is not None
    assert len(gbnf.gbnf(text)) < 20_000


def test_depth_is_followed_however_deep() -> None:
    """Neither following nor printing needs the interpreter's stack."""
    rest = following.rest(json_text.any_value(), "[" * 5_000)
    assert rest is not None
    assert following.accepts(rest, "1" + "]" * 5_000)
    assert gbnf.gbnf(rest).count('"]"') > 4_999


def test_stacks_with_the_same_below_share_a_rule() -> None:
    """Two ways to go on in the same place don't repeat what comes after it."""
    tail = literal("x" * 1_000)
    grammar = Grammar(sequence(choice(literal("abc"), literal("abd")), tail))
    rest = following.rest(grammar, "ab")
    assert rest is not None
    assert following.accepts(rest, "d" + "x" * 1_000)
    assert len(gbnf.gbnf(rest)) < 1_500


def test_new_rules_take_no_name_that_is_taken() -> None:
    """A grammar with a rule named as a rest's keeps it."""
    grammar = Grammar(sequence(repeat(Reference("rest-0")), literal("!")), {"rest-0": literal("ab")})
    rest = following.rest(grammar, "aba")
    assert rest is not None
    assert following.accepts(rest, "bab!")
