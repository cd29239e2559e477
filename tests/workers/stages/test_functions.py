"""Answers that call functions, on an engine that says what it is told to: the server's made here, others told."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tasks import errors
from tasks.jobs.lifecycle import Status
from tasks.jobs.outcomes import Outcome
from tasks.models.engine import Delta, Finish, Handle, Prompt, Request, Step
from tasks.models.logprobs import Logprob
from tasks.streams import events
from tests.support.waiting import until
from tests.workers.conftest import Bench
from workers.attempt import Attempt, Stop
from workers.engines.echo import Echo
from workers.stages import functions
from workers.stages.generate import generate

SEVENS = {"type": "integer", "multipleOf": 7}
ANY = {"type": "object"}


def call(name: str, /, **arguments: Any) -> str:
    return f'<tool_call>{{"name": "{name}", "arguments": {json.dumps(arguments)}}}</tool_call>'


GREET = call("greet", name="Ann")


class Scripted(Echo):
    """Says these texts, one a generation, in tokens of a few letters; each ends with a token that nobody sees.

    `asked` are the requests it was given, `chats` the conversations and the tools. `breaks_after` ends a generation
    by the host's death after so many tokens, once.
    """

    def __init__(self, *answers: str, letters: int = 5, reason: str = "stop", breaks_after: int | None = None) -> None:
        super().__init__("scripted", slots=1, context=4096)
        self.answers, self.letters, self.reason, self.breaks_after = list(answers), letters, reason, breaks_after
        self.asked: list[Request] = []
        self.chats: list[tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]] = []

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Prompt:
        self.chats.append((messages, tools))
        return Prompt("p", tuple(range(10 * len(messages))))

    def detokenize(self, ids: Sequence[int]) -> str:
        return "".join(self.answers[0][id * self.letters : (id + 1) * self.letters] for id in ids)

    def generate(self, request: Request) -> Handle:
        self.asked.append(request)
        text = self.answers[0][len(request.emitted) * self.letters :]
        return _Saying(self, text, len(request.emitted), logprobs=request.params.logprobs is not None)


class _Saying:
    def __init__(self, engine: Scripted, text: str, first: int, *, logprobs: bool) -> None:
        pieces = [text[at : at + engine.letters] for at in range(0, len(text), engine.letters)]
        self._engine, self._left = engine, list(enumerate(pieces, first))
        self._logprobs = logprobs

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        if self._left and self._left[0][0] == self._engine.breaks_after:
            self._engine.breaks_after = None
            raise errors.EngineLost("the host is gone")
        if not self._left:
            self._engine.answers.pop(0)
            return [Finish(self._engine.reason, 1)]
        number, piece = self._left.pop(0)
        return [Delta(piece, 1, (number,), (Logprob(piece, -1.0),) if self._logprobs else ())]

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


def asking(
    bench: Bench, *tools: str, served: Sequence[str] = (), number: int = 1, choice: str | None = None, **params: Any
) -> Attempt:
    """An attempt at a chat that has these tools, of which some are the server's functions."""
    given: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    given["tools"] = [{"name": name, "description": None, "parameters": ANY} for name in (*tools, *served)]
    given |= {"tool_choice": choice} if choice else {}
    asked = {"temperature": 0, **({"server_functions": list(served)} if served else {}), **params}
    return bench.attempt(number, type="chat", input=given, params=asked)


def run(bench: Bench, attempt: Attempt, engine: Echo) -> Outcome:
    publisher = bench.publisher(attempt)
    return generate(bench.slot(engine), attempt, publisher)


def told(bench: Bench, *types: type[Any]) -> list[Any]:
    return [entry.event for entry in bench.entries() if isinstance(entry.event, types)]


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
