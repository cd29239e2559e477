"""The one request for text: stored and read again without a loss, whichever version stored it."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.jobs.requests import Stored
from tasks.kinds import generation
from tasks.kinds.generation import Generation, Shape, Text, Tool, ToolCall, Turn
from tasks.kinds.sampling import Sampling

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=8)
TEXTS = st.text(max_size=20)
SCHEMAS = st.dictionaries(NAMES, st.booleans() | NAMES | st.integers(), max_size=3)
FRACTIONS = st.none() | st.floats(0, 1)

SAMPLINGS = st.builds(
    Sampling,
    FRACTIONS,
    FRACTIONS,
    st.none() | st.integers(0, 1000),
    FRACTIONS,
    st.none() | st.floats(0.1, 2),
    st.none() | st.floats(-2, 2),
    st.none() | st.floats(-2, 2),
)
CALLS = st.builds(ToolCall, NAMES, NAMES, TEXTS)
TURNS = st.builds(
    Turn,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.lists(st.builds(Text, TEXTS), max_size=3).map(tuple),
    st.lists(CALLS, max_size=2).map(tuple),
    st.none() | NAMES,
)
ASKED: Any = st.one_of(
    st.fixed_dictionaries({"prompt": TEXTS}),
    st.fixed_dictionaries({"prompt_ids": st.lists(st.integers(0, 99), max_size=5).map(tuple)}),
    st.fixed_dictionaries({"turns": st.lists(TURNS, max_size=3).map(tuple)}),
)
HOW: Any = st.fixed_dictionaries(
    {},
    optional={
        "sampling": SAMPLINGS,
        "stop": st.lists(TEXTS.filter(bool), max_size=3).map(tuple),
        "seed": st.integers(0, 2**31 - 1),
        "max_tokens": st.integers(1, 1000),
        "tools": st.lists(st.builds(Tool, NAMES, st.none() | TEXTS, SCHEMAS), max_size=2).map(tuple),
        "tool_choice": NAMES,
        "shape": st.builds(Shape, st.none() | SCHEMAS),
        "logprobs": st.integers(0, 20),
        "logit_bias": st.dictionaries(st.integers(0, 99), st.floats(-100, 100), max_size=3),
        "choices": st.integers(1, 5),
    },
)


def stored(input: dict[str, Any], **params: Any) -> Generation:
    return generation.from_json(Stored(input, params))


@given(ASKED, HOW)
def test_what_is_stored_is_read_again(asked: dict[str, Any], how: dict[str, Any]) -> None:
    """Every field, through JSON as PostgreSQL keeps it."""
    whole = Generation(**asked, **how)
    kept = whole.to_json()
    read = generation.from_json(Stored(json.loads(json.dumps(kept.input)), json.loads(json.dumps(kept.params))))
    assert read == whole


def test_prompt_stored_by_an_earlier_version_is_read() -> None:
    """What is written of a request, as `generate` jobs had it."""
    params = {
        "max_tokens": 100,
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "stop": ["\n\n"],
        "seed": 7,
    }
    read = stored({"prompt": "Once"}, **params)
    assert read == Generation(
        prompt="Once", sampling=Sampling(0, 0.9, 40, 0.05, 1.1), stop=("\n\n",), seed=7, max_tokens=100
    )
    assert read.to_json() == Stored({"prompt": "Once"}, params)
    assert stored({"prompt": "Once"}) == Generation(prompt="Once")


def test_conversation_stored_by_an_earlier_version_is_read() -> None:
    """The rows of `chat` jobs: a role and one text each, an assistant's perhaps empty; and they are stored so again."""
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": ""},
    ]
    read = stored({"messages": messages}, temperature=0.5)
    assert read.turns == (
        Turn("system", (Text("Be short."),)),
        Turn("user", (Text("Who?"),)),
        Turn("assistant", (Text(""),)),
    )
    assert [turn.message() for turn in read.turns] == messages
    assert read.to_json() == Stored({"messages": messages}, {"temperature": 0.5})


def test_params_fill_in_defaults_within_the_room() -> None:
    """What the client left open is the default; an answer never exceeds the context."""
    open_end, short = stored({"prompt": "x"}, temperature=0), stored({"prompt": "x"}, max_tokens=3, seed=4)
    params = open_end.params(9, 50)
    assert (params.max_tokens, params.temperature, params.top_p, params.stop) == (50, 0, 0.95, ())
    assert (short.params(9, 50).max_tokens, short.params(9, 2).max_tokens, short.params(9, 2).seed) == (3, 2, 9)


def test_params_carry_what_was_asked_of_the_sampler() -> None:
    """Penalties, biases by token id, probabilities; what isn't asked for changes nothing."""
    asked = Generation(
        prompt="x", sampling=Sampling(presence_penalty=0.5), logprobs=0, logit_bias={3: -100.0}, stop=("a",)
    ).params(9, 50)
    assert (asked.presence_penalty, asked.frequency_penalty) == (0.5, 0.0)
    assert (asked.logprobs, asked.logit_bias, asked.stop, asked.grammar) == (0, {3: -100.0}, ("a",), None)
    assert stored({"prompt": "x"}).params(9, 50).logprobs is None


def test_calls_are_as_templates_read_them() -> None:
    """Arguments as a dictionary where they are one; a result with the name of what was called."""
    calls = (ToolCall("a", "weather", '{"city": "Bern"}'), ToolCall("b", "weather", "Bern"))
    turns = (Turn("assistant", (), calls), Turn("tool", (Text("rain"),), (), "a"), Turn("tool", (Text("?"),), (), "c"))
    first, rain, unknown = Generation(turns=turns).messages()
    assert first["tool_calls"][0] == {
        "id": "a",
        "type": "function",
        "function": {"name": "weather", "arguments": {"city": "Bern"}},
    }
    assert first["tool_calls"][1]["function"]["arguments"] == "Bern"
    assert rain == {"role": "tool", "content": "rain", "tool_call_id": "a", "name": "weather"}
    assert "name" not in unknown


@pytest.mark.parametrize(
    "arguments",
    ["[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, '{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "1" * 5000],
)
def test_arguments_that_others_cannot_read_stay_a_text(arguments: str) -> None:
    """A client may send as an earlier call what no model wrote: neither the worker nor its template chokes on it."""
    turn = Turn("assistant", (), (ToolCall("a", "weather", arguments),))
    assert Generation(turns=(turn,)).messages()[0]["tool_calls"][0]["function"]["arguments"] == arguments
