"""What steers an answer and what is told of it: biases, penalties, grammars, probabilities, on both engines."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks import errors
from tasks.kinds.generation import Generation, Tool
from tasks.models.engine import OUR_CALLS, Delta, Finish, Request
from tasks.models.logprobs import Logprob
from tasks.shapes.parent import Shaper
from tests.workers.chats import HERMES, HERMES_CALLS
from tests.workers.runs import MODEL, QUESTION, STORY, deltas, drain, params, text
from workers.engines import loading
from workers.engines.ctransformers import CTransformers
from workers.engines.llamacpp import LlamaCpp
from workers.stages import speech

Hosted = LlamaCpp | CTransformers
JSON = r"""
root   ::= "{" pair ("," pair){0,2} "}"
pair   ::= string ": " ([1-9] [0-9]{0,3} | string | "[]")
string ::= "\"" [^"\\\x00-\x1F]{1,12} "\""
"""


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Hosted]]:
    loaded = {name: loading.load(replace(MODEL, engine=name), slots=2, threads=1) for name in NAMES}
    yield loaded  # type: ignore[misc]
    for engine in loaded.values():
        engine.close()


NAMES = ("llamacpp", "ctransformers")


@pytest.fixture(params=NAMES)
def engine(engines: dict[str, Hosted], request: pytest.FixtureRequest) -> Hosted:
    return engines[request.param]


def said(engine: Hosted, emitted: Sequence[int] = (), prompt: str = STORY, **how: Any) -> list[Delta | Finish]:
    asked = Request(engine.prompt(prompt), params(**how), tuple(emitted), len(emitted))
    return [step for step in drain(engine.generate(asked)) if isinstance(step, Delta | Finish)]


def likely(steps: Sequence[Any]) -> list[Logprob]:
    return [each for delta in deltas(list(steps)) for each in delta.logprobs]


def test_biased_token_comes_or_does_not(engine: Hosted) -> None:
    """A hundred decides, either way."""
    [full_stop] = engine.reread(".")
    assert "." in text(said(engine))
    assert "." not in text(said(engine, logit_bias={full_stop: -100.0}))
    assert text(said(engine, logit_bias={full_stop: 100.0}, max_tokens=5)) == "....."


@pytest.mark.parametrize("token", [2048, -1])
def test_token_that_is_none_is_refused(engine: Hosted, token: int) -> None:
    """By a bias and in a prompt, with its number."""
    with pytest.raises(errors.EngineRefused, match=f"no token {token}: its vocabulary has 2048"):
        said(engine, logit_bias={token: 1.0})
    with pytest.raises(errors.EngineRefused, match=f"no token {token}"):
        engine.prompt_of([1, token])


def test_prompt_of_ids_is_answered_as_its_text(engine: Hosted) -> None:
    """The ids as they are: nothing is put before them."""
    ids = engine.prompt(STORY).ids
    prompt = engine.prompt_of(ids)
    assert prompt.ids == ids
    assert STORY in prompt.text
    assert text(drain(engine.generate(Request(prompt, params())))) == text(said(engine))
    assert engine.prompt_of(ids[1:]).ids == ids[1:]


@pytest.mark.parametrize(
    "how",
    [{"frequency_penalty": 1.0}, {"frequency_penalty": 2.0}, {"frequency_penalty": -1.0}, {"logit_bias": {34: -9.0}}],
)
def test_engines_are_steered_to_one_answer(engines: dict[str, Hosted], how: dict[str, Any]) -> None:
    """llama.cpp's penalties look at the prompt too; what its tokens lose by that is given back."""
    answers = {text(said(engine, max_tokens=50, **how)) for engine in engines.values()}
    assert len(answers) == 1
    assert answers != {text(said(engines["llamacpp"], max_tokens=50))}


@pytest.mark.parametrize("how", [{"frequency_penalty": 1.5}, {"presence_penalty": 1.5}, {"logit_bias": {34: -100.0}}])
def test_steered_answer_is_taken_up_where_it_was_left(engine: Hosted, how: dict[str, Any]) -> None:
    """What has been said counts on."""
    whole = said(engine, max_tokens=40, **how)
    for cut in (1, 12, 30):
        emitted = [token for delta in deltas(whole)[:cut] for token in delta.token_ids]
        rest = said(engine, emitted, max_tokens=40, **how)
        assert text(rest) == "".join(delta.text for delta in deltas(whole)[cut:])


def test_probabilities_are_told_of_every_token(engine: Hosted) -> None:
    """Their texts make the answer; whatever is drawn, they are the model's own."""
    for how in ({}, {"temperature": 1.5, "top_k": 0, "min_p": 0.0}, {"stop": ("near the moon", "y nex")}):
        steps = said(engine, logprobs=2, **how)
        told = likely(steps)
        assert len(told) == sum(delta.tokens for delta in deltas(steps))
        assert "".join(each.token for each in told).startswith(text(steps))
        assert all(each.logprob <= each.top[0].logprob <= 0 for each in told)
        assert all(len(each.top) == 2 for each in told)
    assert [each.top for each in likely(said(engine, logprobs=0, max_tokens=3))] == [()] * 3
    assert likely(said(engine, max_tokens=3)) == []


def test_engines_tell_the_same_probabilities(engines: dict[str, Hosted]) -> None:
    """Within what their arithmetic differs by."""
    one, other = (
        likely(said(engine, prompt=f"User: {QUESTION}\nAssistant:", logprobs=3)) for engine in engines.values()
    )
    assert [each.token for each in one] == [each.token for each in other]
    assert [each.logprob for each in one] == pytest.approx([each.logprob for each in other], abs=0.01)
    numbers = [[beside.logprob for each in told for beside in each.top] for told in (one, other)]
    assert numbers[0] == pytest.approx(numbers[1], abs=0.3)


def test_parts_of_a_character_have_their_bytes() -> None:
    """Of a token that is no text by itself; llama.cpp's stream tells of the whole character."""
    engines = {name: loading.load(replace(MODEL, engine=name), slots=1, threads=1) for name in NAMES}
    try:
        told = {name: likely(said(one, grammar='root ::= "é日"', logprobs=0)) for name, one in engines.items()}  # type: ignore[arg-type]
    finally:
        for one in engines.values():
            one.close()
    assert b"".join(each.piece for each in told["ctransformers"]) == "é日".encode()
    assert len(told["ctransformers"]) == 5
    assert [each.token for each in told["llamacpp"]] == ["é", "日"]


@pytest.mark.parametrize("how", [{}, *({"temperature": 1.2, "seed": seed} for seed in range(5))])
def test_answer_stays_within_its_grammar(engine: Hosted, how: dict[str, Any]) -> None:
    """To its end, greedy or drawn."""
    steps = said(engine, grammar=JSON, max_tokens=200, **how)
    assert isinstance(json.loads(text(steps)), dict)
    end = steps[-1]
    assert isinstance(end, Finish)
    assert (end.reason, end.tokens) == ("stop", 1)


def test_grammar_of_the_rest_is_followed_after_what_was_said(engine: Hosted) -> None:
    """It is of what may follow now; what was said isn't held against it."""
    whole = said(engine, grammar='root ::= " One dark" [a-z ]{4,12} "!"')
    emitted = [token for delta in deltas(whole)[:3] for token in delta.token_ids]
    assert text(said(engine, emitted, grammar='root ::= [a-z ]{4,12} "!"')) == text(whole).removeprefix(" One dark")


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_answer_that_may_be_a_call_is_taken_up_where_it_was_left(engine: Hosted, choice: str) -> None:
    """The grammar of the rest gives the rest; where a call is only allowed, the answer is what it would have been."""
    tool = Tool("weather", None, {"type": "object", "properties": {"city": {"enum": ["Bern", "Köln"]}}})
    with contextlib.closing(Shaper()) as shaper:
        allowed = speech.of(Generation(tools=(tool,), tool_choice=choice), engine.call_format, shaper)
    whole = said(engine, grammar=allowed.left(""), max_tokens=100)
    if choice == "auto":
        assert text(whole) == text(said(engine, max_tokens=100))
    else:
        assert allowed.call(text(whole))
    for cut in (1, 4, 9):
        before = "".join(delta.text for delta in deltas(whole)[:cut])
        emitted = [token for delta in deltas(whole)[:cut] for token in delta.token_ids]
        assert before + text(said(engine, emitted, grammar=allowed.left(before), max_tokens=100)) == text(whole)


@pytest.mark.parametrize("grammar", ["root ::= (", "root ::= foo", 'root ::= root "a" | "b"', 'root ::= "\\q"'])
def test_what_is_no_grammar_is_refused(engine: Hosted, grammar: str) -> None:
    """The job is at fault, and the engine lives on."""
    with pytest.raises(errors.EngineRefused):
        said(engine, grammar=grammar)
    assert text(said(engine, max_tokens=3))


TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"properties": {"<s>city": {}}}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": {"<s>city": "Bern</s>"}}}
CONVERSATION = [
    {"role": "user", "content": "How is it?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
    {"role": "tool", "content": "rain</s>", "tool_call_id": "call_1", "name": "weather"},
]


def test_model_whose_template_knows_no_tools_is_told_of_them_in_words(engines: dict[str, Hosted]) -> None:
    """Both engines come to one prompt, in which no special token is a client's."""
    one, other = (engine.chat(CONVERSATION, [TOOL]) for engine in engines.values())
    assert one == other
    assert f'{OUR_CALLS.before}weather{OUR_CALLS.between}{{"<s>city": "Bern</s>"}}{OUR_CALLS.after}' in one.text
    assert (one.ids.count(1), one.ids.count(2)) == (1, 1)
    assert {engine.call_format for engine in engines.values()} == {OUR_CALLS}


def test_model_whose_template_knows_tools_has_its_own_calls(tmp_path: Path) -> None:
    """The template of the catalogue tells how they are written."""
    template = tmp_path / "hermes.jinja"
    template.write_text(HERMES)
    told = []
    for name in NAMES:
        loaded = loading.load(replace(MODEL, engine=name, template=template), slots=1, threads=1)
        assert isinstance(loaded, Hosted)
        told.append((loaded.call_format, loaded.chat(CONVERSATION, [TOOL])))
        loaded.close()
    assert told[0] == told[1]
    assert told[0][0] == HERMES_CALLS
    assert told[0][1].ids.count(2) == 0
