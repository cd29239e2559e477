"""Regular expressions find in a grammar what they find by `re`."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.shapes import following, formats, regex, regular
from tasks.shapes.grammar import Grammar, literal, sequence

_PARTS = st.recursive(
    st.sampled_from(
        ["a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", r"\s", "\\.", '"', "é", "\\n", r"\x41"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,}", "{0,2}", "*?", "+?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda arms: f"({'|'.join(arms)})"),
    ),
    max_leaves=6,
)
_PATTERNS = st.tuples(st.sampled_from(["", "^"]), _PARTS, st.sampled_from(["", "$"])).map("".join)
_TEXTS = st.text('abcABC019 .é"\n\\', max_size=8)


def grammar_of(pattern: str) -> Grammar:
    """The strings as they stand in JSON, between quotes."""
    node = regex.strings(pattern).node
    if regular.decided(node):
        return Grammar(sequence(literal('"'), regular.in_json(node), literal('"')))
    made = regular.intersection([node], "p")
    return Grammar(sequence(literal('"'), made.root, literal('"')), made.rules)


@settings(deadline=None, max_examples=400)
@given(_PATTERNS, st.lists(_TEXTS, min_size=1, max_size=5))
def test_grammar_allows_what_the_expression_finds(pattern: str, texts: list[str]) -> None:
    """Both ways, through the escapes of JSON."""
    grammar = grammar_of(pattern)
    python = regex.python(pattern)
    for text in texts:
        found = python.search(text) is not None
        assert following.accepts(grammar, json.dumps(text, ensure_ascii=False)) == found, (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^a|b$", ["a", "ax", "xb"], ["xa", "bx", ""]),
        ("(^a|b$)", ["a", "ax", "xb"], ["xa", "bx"]),
        ("^(a|b$)", ["a", "ax", "b"], ["bx"]),
        ("^$", [""], ["a", "\n"]),
        ("", ["", "x"], []),
        ("(?<year>[0-9]{4})", ["in 2024"], ["203"]),
        (r"^\/\-\u00e9$", ["/-é"], ["é"]),
        (r"^[\w.-]+$", ["a.b-c_"], ["a b"]),
        (r"^[^\s]+$", ["a"], [" ", "a b"]),
        ("^a{,2}$", ["a{,2}"], ["aa"]),
    ],
)
def test_expression_by_hand(pattern: str, good: list[str], bad: list[str]) -> None:
    """Anchors, groups with names, escapes, and braces that are no quantifier."""
    grammar = grammar_of(pattern)
    assert [text for text in good if not following.accepts(grammar, json.dumps(text, ensure_ascii=False))] == []
    assert [text for text in bad if following.accepts(grammar, json.dumps(text, ensure_ascii=False))] == []


@pytest.mark.parametrize(
    "pattern",
    [r"^(?=a)[a-z]+$", r"^(?!a)[a-z]+$", r"^a\b-$", r"^(a)-\1$", r"(?<=a)b", r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"],
)
def test_what_no_grammar_says_is_left_to_the_check(pattern: str) -> None:
    """More is allowed then, and it is said so."""
    strings = regex.strings(pattern)
    assert not strings.exact


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[a",
        "a**",
        "*a",
        "a{3,1}",
        "[b-a]",
        r"\p{L}",
        r"\u12",
        r"\ud800",
        "a^b",
        "(^a)*",
        "(?#x)",
        "a{99999}",
        "((((" * 20,
    ],
)
def test_what_cant_be_honoured_is_refused(pattern: str) -> None:
    """By what is wrong with it."""
    with pytest.raises(regex.Unreadable, match=r"\w"):
        regex.strings(pattern)


def test_catastrophe_of_backtracking_is_none_of_an_automaton() -> None:
    """A few states, whatever `re` would do."""
    assert len(grammar_of("^(a+)+$").rules) < 5
    assert len(grammar_of("(a|aa)+$").rules) < 10


def test_expression_of_too_many_states_is_told() -> None:
    """It ends early."""
    with pytest.raises(regular.TooManyStates):
        grammar_of("(a|b)*a(a|b){20}")


@pytest.mark.parametrize("name", formats.PATTERNS)
def test_formats_are_expressions_that_are_honoured_exactly(name: str) -> None:
    """No format needs a check."""
    assert regex.strings(formats.PATTERNS[name]).exact
    assert re.compile(formats.PATTERNS[name])
