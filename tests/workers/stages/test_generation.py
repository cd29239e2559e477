"""A generation from start to end: cuts, host deaths, take-overs, stops."""

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tasks import errors, ids
from tasks.limits.spent import Spent
from tasks.models.engine import Delta, Finish, Handle, Progress, Prompt, Request, Step
from tasks.models.logprobs import Logprob
from tasks.streams import events
from tests.workers.conftest import Bench
from workers.attempt import Stop
from workers.engines.echo import Echo
from workers.quarantine import Quarantine
from workers.speaking import Speaking
from workers.stages import generation, telling
from workers.stages.generation import Ending

PROMPT = "one two three four five six seven eight nine ten"


def test_answer_is_streamed_whole_and_counted(bench: Bench, echo: Echo) -> None:
    """Start, deltas that add up to the answer, and every token's id beside its text."""
    attempt = bench.attempt()
    assert bench.run(attempt, echo) == Ending("stop", Spent(10, 10))
    entries = bench.entries()
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0].event == events.Started(1, "w", prompt_tokens=10)
    assert bench.text() == PROMPT
    assert [token for entry in entries for token in entry.token_ids] == list(range(10))
    spent = [entry.event.spent.completion for entry in entries if isinstance(entry.event, events.Delta)]
    assert max(spent) <= telling.FLUSH_TOKENS


def test_probabilities_are_streamed_with_their_tokens(bench: Bench, echo: Echo) -> None:
    """One for each token, in groups as the tokens are; read again from the stream they are as they were."""
    bench.run(bench.attempt(params={"temperature": 0, "logprobs": 1}), echo)
    deltas = [entry.event for entry in bench.entries() if isinstance(entry.event, events.Delta)]
    assert all(len(delta.logprobs) == delta.spent.completion for delta in deltas)
    told = [each for delta in deltas for each in delta.logprobs]
    assert "".join(each.token for each in told) == PROMPT
    assert {each.top for each in told[:1]} == {(Logprob("one ", 0.0),)}


def test_prompt_of_ids_is_the_engines_to_read(bench: Bench, echo: Echo) -> None:
    """The echo engine has no vocabulary, and says so."""
    with pytest.raises(errors.EngineRefused, match="no vocabulary"):
        bench.run(bench.attempt(input={"prompt_ids": [1, 2]}), echo)


class Patient(Speaking):
    """Tokens wait until enough of them have come."""

    wait_s = 3600.0


def test_first_token_waits_for_nobody(bench: Bench, echo: Echo) -> None:
    """Those that follow wait for company."""
    bench.generation(bench.attempt(), echo, speaking=Patient()).run()
    told = [entry.event for entry in bench.entries() if isinstance(entry.event, events.Delta)]
    assert [delta.spent.completion for delta in told] == [1, 8, 1]
    assert bench.text() == PROMPT


class Noted(Speaking):
    """Notes how many speak when a token has come, and when an answer is over."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def begin(self, answer: object) -> None:
        super().begin(answer)
        self.counts.append(len(self._answers))

    def end(self, answer: object) -> None:
        super().end(answer)
        self.counts.append(len(self._answers))


def test_answer_speaks_from_its_first_token_to_its_end(bench: Bench, echo: Echo) -> None:
    """However it ends, others' tokens wait no longer for its sake."""
    speaking, echo.lose_at = Noted(), {4}
    bench.generation(bench.attempt(), echo, speaking=speaking).run()
    assert [count for count, _ in itertools.groupby(speaking.counts)] == [1, 0, 1, 0]


def test_max_tokens_ends_the_answer(bench: Bench, echo: Echo) -> None:
    """The reason is `length` and no token more is spent."""
    assert bench.run(bench.attempt(params={"max_tokens": 3}), echo) == Ending("length", Spent(10, 3))


def test_prompt_that_fills_the_context_is_the_jobs_error(bench: Bench) -> None:
    """The exact count is the worker's; nothing is streamed."""
    with pytest.raises(errors.ContextLengthExceeded, match="10 tokens"):
        bench.run(bench.attempt(), Echo("echo", slots=1, context=10))
    assert bench.entries() == []


@pytest.mark.parametrize("params", [{"temperature": 0}, {"temperature": 1.0}], ids=["greedy", "sampled"])
def test_host_death_in_the_middle_is_not_to_be_seen(bench: Bench, echo: Echo, params: dict[str, Any]) -> None:
    """The text is that of an undisturbed run, without gap, repetition or notice; usage too."""
    undisturbed = Bench(bench.client, bench.job_id)
    expected = undisturbed.run(bench.attempt(params=params), echo)
    text = undisturbed.text()
    bench.client.flushall()
    echo.lose_at = {3, 7}
    assert bench.run(bench.attempt(params=params), echo) == expected
    assert echo.incarnation == 2
    assert bench.text() == text
    assert {entry.event.type for entry in bench.entries()} == {"started", "delta"}


def test_job_whose_host_keeps_dying_is_poison_and_the_host_is_back(bench: Bench) -> None:
    """Two deaths while the job runs alone are enough, after one that proves nothing; then others find a living host."""
    engine = Fragile("fragile", slots=1, context=64)
    with pytest.raises(errors.Poison):
        bench.run(bench.attempt(input={"prompt": "poison two three"}), engine)
    assert engine.alive
    assert engine.restarts == [False, False, True]  # the verdict explains the deaths


def test_host_that_was_dead_already_is_nobodys_loss(bench: Bench) -> None:
    """However often a run finds none: it has had nothing to do with its death."""
    engine = Fragile("fragile", slots=1, context=64)
    engine.dead_on_arrival = 5
    engine.alive = False
    assert bench.run(bench.attempt(), engine) == Ending("stop", Spent(10, 10))
    assert len(engine.restarts) == 6


class Fragile(Echo):
    """An engine whose host dies of one word, and takes every generation with it; also right after it was started."""

    alive = True
    dead_on_arrival = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.restarts: list[bool] = []

    def generate(self, request: Request) -> Handle:
        if not self.alive:
            raise errors.EngineGone("nobody listens")
        return _FragileHandle(super().generate(request), self, "poison" in request.prompt.text)

    def restart(self, lost: int, *, explained: bool = False) -> None:
        if lost == self.incarnation:
            self.restarts.append(explained)
            self.incarnation += 1
            self.alive = self.dead_on_arrival == 0
            self.dead_on_arrival = max(0, self.dead_on_arrival - 1)


class _FragileHandle:
    def __init__(self, inner: Handle, engine: Fragile, deadly: bool) -> None:
        self._inner, self._engine, self._deadly, self._reads = inner, engine, deadly, 0
        self._host = engine.incarnation
        self.cancel, self.close = inner.cancel, inner.close

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        self._reads += 1
        if self._deadly and self._reads == 2:
            self._engine.alive = False
        if not self._engine.alive or self._engine.incarnation != self._host:
            raise errors.EngineLost("the host is gone")
        return self._inner.read(timeout_s)


def test_neighbours_of_a_deadly_job_come_to_their_end(bench: Bench) -> None:
    """Suspects are tried alone: the guilty one is poison, the innocent ones finish as if nothing had been."""
    engine, quarantine = Fragile("fragile", slots=3, context=64, token_s=0.01), Quarantine()
    outcomes: dict[str, object] = {}

    def run(name: str, prompt: str) -> None:
        own = Bench(bench.client, ids.new())
        try:
            own.run(own.attempt(input={"prompt": prompt}), engine, quarantine=quarantine)
            outcomes[name] = own.text()
        except errors.Poison as error:
            outcomes[name] = error.code

    prompts = {"guilty": "poison two three four five six", "first": PROMPT, "second": PROMPT}
    threads = [threading.Thread(target=run, args=item) for item in prompts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {"guilty": "poison", "first": PROMPT, "second": PROMPT}


@pytest.mark.parametrize("params", [{"temperature": 0}, {"temperature": 1.0}], ids=["greedy", "sampled"])
def test_next_attempt_goes_on_where_the_last_was_cut(bench: Bench, echo: Echo, params: dict[str, Any]) -> None:
    """A worker killed mid-way leaves its stream; the next attempt adds `resumed` and the rest, nothing twice."""
    reference = Bench(bench.client, bench.job_id)
    reference.run(bench.attempt(params=params), echo)
    text = reference.text()
    bench.client.flushall()
    killed = bench.attempt(params=params)
    echo.lose_at = {4}
    with pytest.raises(errors.EngineLost):
        bench.generation(killed, echo)._run_once()
    ending = bench.run(bench.attempt(2, params=params), echo)
    entries = bench.entries()
    assert ending.spent.completion == 10
    assert bench.text() == text
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    told = [entry.event for entry in entries if not isinstance(entry.event, events.Delta)]
    assert told == [events.Started(1, "w", prompt_tokens=10), events.Resumed(2)]


def test_attempt_that_died_after_its_last_token_ends_without_the_engine(bench: Bench, echo: Echo) -> None:
    """All of max_tokens was streamed: there is nothing left to generate."""
    params = {"temperature": 0, "max_tokens": 3}
    bench.run(bench.attempt(params=params), echo)
    assert bench.run(bench.attempt(2, params=params), echo) == Ending("length", Spent(10, 3))
    assert bench.text() == "one two three "


def test_sampled_run_goes_on_from_what_was_read_though_it_draws_otherwise(bench: Bench, echo: Echo) -> None:
    """What was streamed stays, whatever would be drawn the second time; nothing is told anew."""
    echo.lose_at = {4}
    first = bench.attempt(params={"temperature": 1.0}, seed=7)
    with pytest.raises(errors.EngineLost):
        bench.generation(first, echo)._run_once()
    read = bench.text()
    bench.run(bench.attempt(2, params={"temperature": 1.0}, seed=8), echo)
    assert len(read) > 0
    assert bench.text().startswith(read)
    assert {entry.event.type for entry in bench.entries()} == {"started", "delta", "resumed"}


def test_answer_that_had_come_to_its_stop_string_ends_without_the_engine(bench: Bench) -> None:
    """The last delta has less text than its tokens: the rest was cut."""

    class Cut(Scripted):
        def detokenize(self, ids: Sequence[int]) -> str:
            return "ab END of it"

    engine = Cut("scripted", slots=1, context=64)
    engine.script = [[Delta("ab", 3, (1, 2, 3)), Finish("stop", 0)]]
    asked = {"params": {"stop": ["END"]}}
    first = bench.run(bench.attempt(**asked), engine)
    engine.script = [[Delta("more", 1, (4,)), Finish("stop", 0)]]
    assert bench.run(bench.attempt(2, **asked), engine) == first
    assert bench.text() == "ab"


def test_stop_ends_a_run_in_any_phase(bench: Bench) -> None:
    """During prompt evaluation, between tokens, and before the generation exists."""
    slow = Echo("echo", slots=1, context=64, token_s=30)
    evaluating = Echo("echo", slots=1, context=64, prompt_token_s=30)
    for engine in (slow, evaluating):
        attempt = bench.attempt()
        threading.Timer(0.1, attempt.stop, [Stop.ENDED]).start()
        with pytest.raises(errors.Cancelled):
            bench.run(attempt, engine, bench.publisher(attempt))
        bench.client.flushall()
    attempt = bench.attempt()
    attempt.stop(Stop.DRAIN)
    with pytest.raises(errors.Cancelled):
        bench.run(attempt, slow, bench.publisher(attempt))


def test_engine_that_cannot_go_on_with_an_answer_ends_an_interrupted_one(bench: Bench) -> None:
    """What was streamed is never withdrawn, and never told twice."""
    engine = Echo("plain", slots=1, context=64, capabilities=frozenset())
    engine.lose_at = {3}
    with pytest.raises(errors.EngineRefused, match="can't go on"):
        bench.run(bench.attempt(), engine)
    assert bench.text()
    assert "one two three ".startswith(bench.text())


def test_echo_ends_before_a_stop_string(bench: Bench, echo: Echo) -> None:
    """Also before one that reaches over two words, and cuts one; what began like another is told."""
    ending = bench.run(bench.attempt(params={"temperature": 0, "stop": ["ee fo", "two t?"]}), echo)
    assert (ending.reason, bench.text()) == ("stop", "one two thr")


class Scripted(Echo):
    """An engine that gives the steps it is told, a batch a read."""

    script: Sequence[Sequence[Step]] = ()
    hung_up = False

    def generate(self, request: Request) -> Handle:
        return _ScriptedHandle(self)

    def hang_up(self) -> None:
        self.hung_up = True

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> Prompt:
        return Prompt("prompt", (1,))


class _ScriptedHandle:
    def __init__(self, engine: Scripted) -> None:
        self._engine, self._batches = engine, iter(engine.script)

    def read(self, timeout_s: float, *, gather: bool = False) -> Sequence[Step]:
        if self._engine.hung_up:
            raise errors.EngineLost("hung up")
        return next(self._batches, [])

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


def scripted(*batches: Sequence[Step]) -> Scripted:
    engine = Scripted("scripted", slots=1, context=64)
    engine.script = batches
    return engine


def test_long_prompt_reports_its_progress(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the record always, as events now and then, and never for a prompt that is evaluated in one go."""
    monkeypatch.setattr(generation, "_PROGRESS_S", 0)
    steps = [[Progress(0, 40)], [Progress(20, 40)], [Progress(40, 40)], [Delta("x", 1, (1,)), Finish("stop", 1)]]
    attempt = bench.attempt()
    bench.run(attempt, scripted(*steps))
    assert attempt.progress == (40, 40)
    told = [entry.event for entry in bench.entries() if isinstance(entry.event, events.Progress)]
    assert told == [events.Progress(20, 40, Spent(prompt=20))]


def test_what_was_cached_of_the_prompt_is_told_once(bench: Bench) -> None:
    """By the run that found it: what a later one finds was evaluated by this job."""
    engine = scripted([Delta("x", 1, (1,)), Finish("stop", 1, cached=7)])
    attempt = bench.attempt()
    ending = bench.run(attempt, engine)
    assert ending.spent.cached == 7
    assert ending.spent.prompt >= 4


def test_silent_engine_is_hung_up_on_and_the_job_ends(bench: Bench) -> None:
    """A host that stops talking is ended like one that died."""
    engine = scripted([Delta("x", 1, (1,))])
    with pytest.raises(errors.Poison):
        bench.run(bench.attempt(), engine, stall_s=0)
    assert engine.hung_up


def test_tokens_without_ids_are_counted_and_their_text_is_read_again(bench: Bench) -> None:
    """A character of three tokens whose ids the engine hides: the next attempt goes on after it all the same."""
    first = scripted([Delta("a", 1, (1,))], [Delta("語", 3, ())], [Delta("b", 1, (5,)), Finish("stop", 1)])
    assert bench.run(bench.attempt(), first).spent.completion == 6
    seen: list[Request] = []

    class Continued(Scripted):
        def generate(self, request: Request) -> Handle:
            seen.append(request)
            return super().generate(request)

        def reread(self, text: str) -> tuple[int, ...]:
            return tuple(text.encode())

    again = Continued("scripted", slots=1, context=64)
    again.script = [[Delta("c", 1, (6,)), Finish("stop", 1)]]
    assert bench.run(bench.attempt(2), again).spent.completion == 7
    assert [(request.emitted, request.number) for request in seen] == [((1, *"語b".encode()), 5)]
    assert bench.text() == "a語bc"


def test_chat_answer_starts_with_its_first_word(bench: Bench) -> None:
    """Templates end without a space, so answers begin with one: it isn't the answer's."""
    chat = {"type": "chat", "input": {"messages": [{"role": "user", "content": "hi"}]}}
    ending = bench.run(
        bench.attempt(**chat), scripted([Delta(" Hello", 1, (1,)), Delta(" you", 1, (2,)), Finish("stop", 1)])
    )
    assert bench.text() == "Hello you"
    assert ending.spent.completion == 3


def test_white_space_that_no_word_follows_is_counted_though_unseen(bench: Bench) -> None:
    """A chat cut off after its first token, which was a space: the token was spent."""
    chat = {"type": "chat", "input": {"messages": [{"role": "user", "content": "hi"}]}}
    ending = bench.run(bench.attempt(**chat), scripted([Delta(" ", 1, (1,)), Finish("length", 0)]))
    assert ending.spent.completion == 1
    assert bench.text() == ""
