"""Answers within a grammar: which bytes it allows, and so which tokens."""

import json
import random

import numpy as np
import pytest

from tasks import errors
from workers.engines import gbnf, shapes
from workers.engines.shapes import Shape, Shapes

JSON = r"""
root   ::= object  # a comment
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}"
value  ::= object | array | string | number | "true" | "false" | "null"
array  ::= "[" ws ( value ("," ws value)*
    )? "]"
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\""
number ::= "-"? ([0-9] | [1-9] [0-9]{1,15}) ("." [0-9]+)?
ws     ::= " "?
"""
END = 256
BYTES = [bytes([byte]) for byte in range(256)] + [b""]
LONGER = [*BYTES, b'{"', b'": ', b"true", "日本".encode(), "é".encode()[1:] + b'"', b"}}", b'"}', b"\xff\xff", b"abc"]


@pytest.fixture(scope="module")
def vocabulary() -> Shapes:
    return Shapes(LONGER, [END])


def allows(shape: Shape, text: bytes) -> bool:
    """Whether it allows exactly this text, a byte at a time."""
    for byte in text:
        if not shape.allowed()[byte]:
            return False
        shape.take(bytes([byte]))
    return bool(shape.allowed()[END])


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        (JSON, ['{"a": [1, -20.5, {}], "日\\n": "é👩"}', "{}"], ['{"a" 1}', "[]", '{"a": 01}', '{"a": "\n"}', "{"]),
        ('root ::= "a"{2,3} ("b"{2})?', ["aa", "aaa", "aabb"], ["a", "aaaa", "aab"]),
        ('root ::= [a-z]* "end" [0-9]', ["end1", "endend1", "fooend1"], ["end", "foo1"]),
        ('root ::= "a"{,2} "b"{1,} "c"+', ["bc", "aabbcc"], ["aaabc", "ac", "ab"]),
        (r'root ::= "é\x41B\U0001F600" [^é-ê] .', ["éAB😀ë\n", "éAB😀a日"], ["éAB😀éx", "éAB😀a"]),
        (r"root ::= [\u0800-\uFFFF]+ [\]\\-]", ["ࠀ日\uffff-", "日]", "日\\"], ["\u07ff-", "😀-", "日"]),
        ('root ::= ("a"*)* | a-1\na-1 ::= "x" a-1 | "y"', ["", "aaa", "y", "xxy"], ["x", "ay"]),
        ('root ::= (\n"a" |\n"b"\n)\n# the end', ["a", "b"], ["", "ab"]),
    ],
)
def test_grammar_allows_what_it_says(vocabulary: Shapes, grammar: str, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not allows(vocabulary.follow(grammar), text.encode())] == []
    assert [text for text in bad if allows(vocabulary.follow(grammar), text.encode())] == []


def test_token_is_allowed_when_every_byte_of_it_is(vocabulary: Shapes) -> None:
    """As if each had been followed by itself, along many ways through the grammar."""
    for seed in range(20):
        draw, shape = random.Random(seed), vocabulary.follow(JSON)
        for _ in range(30):
            mask = shape.allowed()
            for token, piece in enumerate(LONGER):
                state = shape._state
                states = [state := shape._automaton.move(state, byte) for byte in piece if state >= 0]
                assert mask[token] == (shape._automaton.ends(shape._state) if token == END else min(states) >= 0)
            token = draw.choice(np.flatnonzero(mask).tolist())
            if token == END:
                break
            shape.take(LONGER[token])


def test_whatever_is_drawn_is_json(vocabulary: Shapes) -> None:
    """Every answer that comes to its end."""
    ended = 0
    for seed in range(200):
        draw, shape, said = random.Random(seed), vocabulary.follow(JSON), b""
        for _ in range(200):
            choices = np.flatnonzero(shape.allowed()).tolist()
            token = END if END in choices else draw.choice(choices)
            if token == END:
                json.loads(said)
                ended += 1
                break
            said += LONGER[token]
            shape.take(LONGER[token])
    assert ended > 20


@pytest.mark.parametrize(
    ("grammar", "reason"),
    [
        ("root ::= (", "line 1"),
        ('root ::= "a', "an end"),
        ("root ::= [a-", "an end"),
        (r'root ::= "\q"', "an escape"),
        (r'root ::= "\u12"', "a code point"),
        (r'root ::= "\uD83D"', "characters that are none"),
        ('root ::= "a"{2,1}', "repetitions"),
        ('root ::= "a"{}', "repetitions"),
        ("root ::= foo", "no rule 'foo'"),
        ('other ::= "a"', "no rule 'root'"),
        ("", "no rule 'root'"),
        ('root ::= "a"{0,1000000}', "symbols"),
        ('root ::= root "a" | "b"', "begins with itself"),
        ("root : a", "::="),
    ],
)
def test_what_is_no_grammar_is_refused(vocabulary: Shapes, grammar: str, reason: str) -> None:
    """With what is wrong, where, and in bounded time and memory."""
    with pytest.raises(errors.EngineRefused, match=reason):
        vocabulary.follow(grammar)


def test_ways_through_a_grammar_are_bounded(vocabulary: Shapes) -> None:
    """A hostile one has twice as many with each letter; what follows them all is refused before the memory is full."""
    shape = vocabulary.follow('root ::= "a" root x | "a" root y | "b"\nx ::= "c"\ny ::= "c"')

    def follow() -> None:
        for _ in range(100):
            assert shape.allowed()[ord("a")]
            shape.take(b"a")

    with pytest.raises(errors.EngineRefused, match="too ambiguous"):
        follow()


def test_grammar_that_met_a_limit_is_followed_anew(vocabulary: Shapes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next answer: what earlier ones have learnt of it must not be what it fails of."""
    grammar = 'root ::= "a"{40}'
    with monkeypatch.context() as tight:
        tight.setattr(shapes, "_MOST_STATES", 12)
        for _ in range(2):
            with pytest.raises(errors.EngineRefused):
                allows(vocabulary.follow(grammar), b"a" * 40)
    assert allows(vocabulary.follow(grammar), b"a" * 40)


def test_grammar_that_no_token_can_follow_is_refused() -> None:
    """The vocabulary has no such letter."""
    shape = Shapes([b"a", b""], [1]).follow('root ::= "ab"')
    shape.take(b"a")
    with pytest.raises(errors.EngineRefused, match="can't write"):
        shape.allowed()


def test_sets_of_characters_become_their_utf8() -> None:
    """Every character of every length, and none besides."""
    vocabulary = Shapes(BYTES, [END])
    for first, last in [(0x41, 0x41), (0x70, 0x900), (0xD700, 0xE100), (0xFFF0, 0x10010), (0x10FFF0, 0x10FFFF)]:
        grammar = f"root ::= [\\U{first:08X}-\\U{last:08X}]"
        for code in {first, last, max(first - 1, 0), min(last + 1, 0x10FFFF), (first + last) // 2}:
            if not 0xD800 <= code <= 0xDFFF:
                assert allows(vocabulary.follow(grammar), chr(code).encode()) == (first <= code <= last)
    assert gbnf.parse("root ::= [a-c]") == {"root": [(frozenset(b"abc"),)]}


def test_mask_of_a_state_that_comes_back_is_kept() -> None:
    """Within a string it is the same for every letter."""
    shape = Shapes(LONGER, [END]).follow(JSON)
    shape.take(b'{"a')
    shape.allowed()
    for _ in range(50):
        shape.take("日b".encode())
        shape.allowed()
    assert len(shape._automaton.allowed) == 1
