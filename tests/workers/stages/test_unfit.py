"""Answers that must fit a schema, of an engine that sees to none: checked, tried once more, and charged."""

from collections.abc import Callable, Mapping
from typing import Any

from tasks.jobs.lifecycle import Status
from tasks.models.engine import Handle, Request
from tasks.streams import events
from tests.workers.conftest import Bench
from tests.workers.saying import Scripted, asking, call, run, told
from workers.attempt import Attempt

SEVENS = {"type": "integer", "multipleOf": 7}


def shaped(bench: Bench, schema: Mapping[str, Any], number: int = 1, **params: Any) -> Attempt:
    given = {"messages": [{"role": "user", "content": "hi"}]}
    return bench.attempt(
        number, type="chat", input=given, params={"temperature": 0, "shape": {"schema": schema}, **params}
    )


def test_answer_that_a_grammar_cannot_see_to_is_tried_once_more(bench: Bench) -> None:
    """By another seed, not greedily; nothing of the first try is told, and both are charged."""
    engine = Scripted("12", "14", letters=1)
    outcome = run(bench, shaped(bench, SEVENS), engine)
    assert outcome.result is not None
    assert outcome.result["message"]["content"] == bench.text() == "14"
    first, second = (request.params for request in engine.asked)
    assert (first.greedy, second.greedy) == (True, False)
    assert second.seed != first.seed
    assert outcome.spent.completion == 6


def test_answer_that_never_fits_is_an_honest_error(bench: Bench) -> None:
    """Nothing of it was told; what both tries cost is charged, with the prompt."""
    outcome = run(bench, shaped(bench, SEVENS), Scripted("12", "13", "14", letters=1))
    assert (outcome.status, outcome.error and outcome.error[0]) == (Status.FAILED, "answer_unfit")
    assert (outcome.spent.prompt, outcome.spent.completion) == (10, 6)
    assert bench.text() == ""


def test_arguments_that_do_not_fit_are_tried_once_more(bench: Bench) -> None:
    """What was told before them stays, and the second try goes on after it."""
    given = {"messages": [{"role": "user", "content": "hi"}]}
    tool = {"name": "pick", "description": None, "parameters": {"type": "object", "properties": {"n": SEVENS}}}
    attempt = bench.attempt(type="chat", input={**given, "tools": [tool]}, params={"temperature": 0})
    bad, good = call("pick", n=12), call("pick", n=14)
    engine = Scripted("Well, " + bad, "Well, " + good, letters=1)
    engine.generate = _next_answer(engine)  # type: ignore[method-assign]
    outcome = run(bench, attempt, engine)
    assert [made.arguments for made in told(bench, events.ToolCall)] == ['{"n": 14}']
    assert bench.text() == "Well, "
    said_again = len("Well, ") - len(engine.asked[1].emitted)  # what no reader had been told
    assert outcome.spent.completion == len("Well, ") + len(bad) + said_again + len(good) + 1


def _next_answer(engine: Scripted) -> Callable[[Request], Handle]:
    """Each generation says the next answer, also where the one before was left in its middle."""
    made = engine.generate

    def generate(request: Request) -> Handle:
        if engine.asked:
            engine.answers.pop(0)
        return made(request)

    return generate


def test_engine_that_calls_nothing_where_it_must_is_found_out(bench: Bench) -> None:
    outcome = run(bench, asking(bench, "greet", choice="required"), Scripted("No.", "No."))
    assert outcome.error is not None
    assert outcome.error[0] == "answer_unfit"
    assert bench.text() == ""


def test_answer_that_was_told_and_does_not_fit_is_not_tried_again(bench: Bench) -> None:
    """As one that a stop string cut."""
    engine = Scripted('{"a', letters=1)
    outcome = run(bench, shaped(bench, {"type": "object"}, stop=["b"]), engine)
    assert outcome.error is not None
    assert outcome.error[0] == "answer_unfit"
    assert len(engine.asked) == 1
    assert outcome.spent.completion == 4


def test_whole_answer_of_an_attempt_that_died_is_told_by_the_next(bench: Bench) -> None:
    """Without the engine: nothing can follow it."""
    engine = Scripted('{"a":1}')
    schema = {"const": {"a": 1}}
    run(bench, shaped(bench, schema), engine)
    engine.answers = [""]
    outcome = run(bench, shaped(bench, schema, number=2), engine)
    assert outcome.result is not None
    assert outcome.result["message"]["content"] == '{"a":1}'
    assert len(engine.asked) == 1
