"""Answers that call functions, on an engine that says what it is told to: the server's made here, others told."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import errors
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.streams import events
from tests.support.waiting import until
from tests.workers.conftest import Bench
from tests.workers.saying import GREET, Scripted, asking, call, run, told
from workers.attempt import Stop
from workers.stages import functions
from workers.stages.generate import generate


def results(bench: Bench) -> list[tuple[str, bool]]:
    return [(result.content, result.ok) for result in told(bench, events.ToolResult)]


def calls(outcome: Outcome) -> list[str]:
    assert outcome.result is not None
    return [each["name"] for each in outcome.result["message"].get("tool_calls", ())]


def test_server_makes_the_call_and_the_model_goes_on(bench: Bench) -> None:
    """With what came of it in the conversation; every token of both rounds is charged, also the two that end them."""
    engine = Scripted("Wait. " + GREET, "Good morning it is.")
    outcome = run(bench, asking(bench, served=["greet"]), engine)
    assert outcome.result is not None
    assert outcome.result["message"]["content"] == "Wait. Good morning it is."
    assert calls(outcome) == []
    assert results(bench) == [('"Good morning, Ann"', True)]
    said, answered = engine.chats[1][0][1:]
    assert said["tool_calls"][0]["function"] == {"name": "greet", "arguments": {"name": "Ann"}}
    assert (answered["role"], answered["name"], answered["content"]) == ("tool", "greet", '"Good morning, Ann"')
    expected = sum(-(-len(text) // 5) + 1 for text in ("Wait. " + GREET, "Good morning it is."))
    assert outcome.spent.completion == expected


@pytest.mark.parametrize(
    ("made", "result"),
    [
        (call("fail"), "error: "),
        (call("refuse"), "error: no such"),
        (call("greet"), "error: arguments.name"),
    ],
)
def test_function_that_fails_is_told_to_the_model(bench: Bench, made: str, result: str) -> None:
    """As its result: the answer goes on."""
    outcome = run(bench, asking(bench, served=["greet", "fail", "refuse"]), Scripted(made, "Sorry."))
    [(content, ok)] = results(bench)
    assert content.startswith(result)
    assert "swordfish" not in content
    assert not ok
    assert outcome.status is Status.SUCCEEDED


def test_function_that_hangs_is_a_failure_in_the_end(bench: Bench, tmp_path: Path) -> None:
    made = call("hang", file=str(tmp_path / "hung"))
    outcome = run(bench, asking(bench, served=["hang"]), Scripted(made, "Sorry."))
    assert results(bench) == [("error: hang didn't answer within 2 seconds", False)]
    assert outcome.status is Status.SUCCEEDED


def test_attempt_that_is_stopped_in_a_call_leaves_it_to_the_next(bench: Bench, tmp_path: Path) -> None:
    """It isn't told as one that failed."""
    file = tmp_path / "there"
    engine = Scripted(call("wait_for", file=str(file)), "", "Done.")
    attempt = asking(bench, served=["wait_for"])
    thread = threading.Thread(target=lambda: until(lambda: told(bench, events.ToolCall)) and attempt.stop(Stop.DRAIN))
    thread.start()
    with pytest.raises(errors.Cancelled):
        run(bench, attempt, engine)
    thread.join()
    assert results(bench) == []
    file.touch()
    assert run(bench, asking(bench, served=["wait_for"], number=2), engine).status is Status.SUCCEEDED
    assert [ok for _, ok in results(bench)] == [True]


def test_after_eight_rounds_the_model_must_answer(bench: Bench) -> None:
    """No tools are put to it then."""
    engine = Scripted(*[GREET] * functions.MOST_ROUNDS, "Enough.")
    outcome = run(bench, asking(bench, served=["greet"], choice="required"), engine)
    assert len(results(bench)) == functions.MOST_ROUNDS
    assert [bool(tools) for _, tools in engine.chats] == [True] * functions.MOST_ROUNDS + [False]
    assert [request.params.grammar is None for request in engine.asked] == [False] * functions.MOST_ROUNDS + [True]
    assert outcome.result is not None
    assert outcome.result["message"]["content"] == "Enough."


def test_results_that_are_there_arent_asked_for_again(bench: Bench) -> None:
    """Where a worker died between two calls, the next attempt makes the second; the model isn't asked meanwhile."""
    engine = Scripted(GREET + call("greet", name="Bob"), "Hello both.")
    attempt = asking(bench, served=["greet"])
    publisher = bench.publisher(attempt)
    dying = bench.slot(engine)
    dying.toolbox = _Dying(dying.toolbox.call)  # type: ignore[assignment]
    with pytest.raises(_Died):
        generate(dying, attempt, publisher)
    assert len(results(bench)) == 1
    outcome = run(bench, asking(bench, served=["greet"], number=2), engine)
    assert [content for content, _ in results(bench)] == ['"Good morning, Ann"', '"Good morning, Bob"']
    assert len(engine.asked) == 2
    assert outcome.result is not None
    assert outcome.result["message"]["content"] == "Hello both."


class _Died(Exception):
    pass


class _Dying:
    """Makes one call, and takes the worker with it at the next."""

    def __init__(self, make: Callable[..., str]) -> None:
        self._make, self._made = make, 0

    def call(self, *given: Any) -> str:
        self._made += 1
        if self._made > 1:
            raise _Died
        return self._make(*given)


def test_round_with_a_call_of_the_clients_is_the_clients_to_answer(bench: Bench) -> None:
    """All of it: nothing is made here."""
    engine = Scripted(GREET + call("theirs"))
    outcome = run(bench, asking(bench, "theirs", served=["greet"]), engine)
    assert calls(outcome) == ["greet", "theirs"]
    assert outcome.result is not None
    assert outcome.result["finish_reason"] == "tool_calls"
    assert results(bench) == []


@pytest.mark.parametrize("cut", range(0, len(GREET), 9))
def test_answer_cut_off_in_a_call_has_no_part_of_it(bench: Bench, cut: int) -> None:
    """What it cost is charged."""
    engine = Scripted(GREET[:cut], reason="length")
    outcome = run(bench, asking(bench, served=["greet"], max_tokens=50), engine)
    assert outcome.result is not None
    assert outcome.result["finish_reason"] == "length"
    assert calls(outcome) == []
    assert outcome.spent.completion == -(-cut // 5) + 1


def test_tokens_of_all_rounds_count_towards_what_was_allowed(bench: Bench) -> None:
    engine = Scripted(GREET, "x" * 50)
    run(bench, asking(bench, served=["greet"], max_tokens=20), engine)
    assert [request.params.max_tokens for request in engine.asked] == [20, 20 - -(-len(GREET) // 5)]


def test_probabilities_are_of_the_text_alone(bench: Bench) -> None:
    """Those of a call's tokens aren't told, as OpenAI doesn't either."""
    engine = Scripted("Wait." + GREET)
    outcome = run(bench, asking(bench, "greet", logprobs=0), engine)
    assert outcome.result is not None
    assert outcome.result["logprobs"] == [["Wait.", -1.0]]


@pytest.mark.parametrize("broken", range(0, (len("Wait. " + GREET + GREET) - 1) // 5 + 1, 2))
@pytest.mark.parametrize("whole", [False, True], ids=["host", "worker"])
def test_death_at_any_token_is_not_to_be_seen(bench: Bench, broken: int, whole: bool) -> None:
    """Of the host, or of the worker with it: text and calls are those of an undisturbed run, each told once."""
    text = "Wait. " + GREET + GREET
    engine = Scripted(text, breaks_after=broken)
    attempt = asking(bench, "greet")
    if whole:
        with pytest.raises(errors.EngineLost):
            bench.generation(attempt, engine)._run_once()
        attempt = asking(bench, "greet", number=2)
    outcome = run(bench, attempt, engine)
    assert calls(outcome) == ["greet", "greet"]
    assert bench.text() == "Wait. "
    assert [made.arguments for made in told(bench, events.ToolCall)] == ['{"name": "Ann"}'] * 2
    assert outcome.spent.completion == -(-len(text) // 5) + 1
