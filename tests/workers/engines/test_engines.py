"""What every engine with a host must do, on the real libraries with the demo model."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tasks import errors
from tasks.models.capabilities import ENGINES, Capability
from tasks.models.catalog import Model
from tasks.models.engine import Embedder, Finish, Generator, Progress, Request
from tests.support.waiting import until
from tests.workers.conftest import Bench
from tests.workers.runs import MODEL, QUESTION, STORY, deltas, drain, params, spent, text
from workers.engines import hosting, loading
from workers.engines.ctransformers import CTransformers
from workers.engines.llamacpp import LlamaCpp

Hosted = LlamaCpp | CTransformers


def load(engine: str, slots: int) -> Hosted:
    loaded = loading.load(replace(MODEL, engine=engine), slots=slots, threads=1)
    assert isinstance(loaded, Hosted)
    return loaded


@pytest.fixture(scope="module", params=["llamacpp", "ctransformers"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine(kind: str) -> Iterator[Hosted]:
    loaded = load(kind, 4)
    yield loaded
    loaded.close()


def test_question_is_answered_from_its_context(engine: Hosted) -> None:
    """Template, tokens, answer, end: the whole of one generation."""
    prompt = engine.chat([{"role": "user", "content": QUESTION}])
    steps = drain(engine.generate(Request(prompt, params())))
    assert text(steps).strip() == "The code of the harbour is 19."
    assert steps[-1] == Finish("stop", 1)
    assert all(len(delta.token_ids) == delta.tokens for delta in deltas(steps))


def test_long_prompt_tells_how_far_it_has_come(engine: Hosted) -> None:
    """In batches, from nothing to all of it."""
    prompt = engine.prompt("The code of the harbour is 19. " * 20)
    steps = drain(engine.generate(Request(prompt, params(max_tokens=1))))
    told = [step for step in steps if isinstance(step, Progress)]
    total = len(prompt.ids)
    assert len(told) >= total // 64
    assert told[-1] == Progress(total, total)


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_greedy_run_continued_from_its_token_ids_says_the_same(engine: Hosted, cut: int) -> None:
    """Prompt and emitted ids together give exactly the rest."""
    whole = deltas(drain(engine.generate(Request(engine.prompt(STORY), params(repetition_penalty=1.1)))))
    emitted = tuple(token for delta in whole[:cut] for token in delta.token_ids)
    rest = drain(engine.generate(Request(engine.prompt(STORY), params(repetition_penalty=1.1), emitted, len(emitted))))
    assert text(rest) == "".join(delta.text for delta in whole[cut:])


def test_seeded_run_repeated_says_the_same(engine: Hosted) -> None:
    """What has been drawn is drawn again with the same seed, and otherwise with another."""
    runs = [
        text(drain(engine.generate(Request(engine.prompt(STORY), params(temperature=1.2, seed=seed)))))
        for seed in (5, 5, 6)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_neighbours_do_not_change_a_greedy_answer(engine: Hosted) -> None:
    """Slots with caches of their own: the text beside three other generations is the text alone."""
    story = engine.prompt(STORY)
    alone = text(drain(engine.generate(Request(story, params(max_tokens=100)))))
    together: list[str] = []

    def tell() -> None:
        together.append(text(drain(engine.generate(Request(story, params(max_tokens=100), scope=str(len(together)))))))

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone] * 4


def test_stop_string_is_held_back_and_counted(engine: Hosted) -> None:
    """No part of it reaches the reader; its tokens were spent all the same."""
    whole = text(drain(engine.generate(Request(engine.prompt(STORY), params()))))
    stop = whole[25:34]
    steps = drain(engine.generate(Request(engine.prompt(STORY), params(stop=(stop,)))))
    assert text(steps) == whole[: whole.index(stop)]
    assert spent(steps) > sum(delta.tokens for delta in deltas(steps)[:-1])


def test_attempt_killed_just_before_its_end_at_a_stop_string_ends_there_again(engine: Hosted, bench: Bench) -> None:
    """The last piece's ids reach into the stop string, by which it is seen that nothing is to follow."""
    stop = text(drain(engine.generate(Request(engine.prompt(STORY), params()))))[25:34]
    asked = {"input": {"prompt": STORY}, "params": {"temperature": 0, "stop": [stop]}}
    first = bench.run(bench.attempt(**asked), engine)
    said = bench.text()
    again = bench.run(bench.attempt(2, **asked), engine)
    assert (again.reason, bench.text()) == (first.reason, said)


def test_character_of_several_tokens_comes_whole(engine: Hosted) -> None:
    """A repeated Japanese text is byte tokens to this vocabulary: pieces are whole characters, ids unknown."""
    steps = drain(
        engine.generate(Request(engine.prompt("日本語" * 4), params(temperature=2.0, top_k=0, min_p=0.0, seed=3)))
    )
    assert sum(delta.tokens for delta in deltas(steps)) + steps[-1].tokens <= 60  # type: ignore[union-attr]
    assert all(len(delta.token_ids) in (0, delta.tokens) for delta in deltas(steps))


def test_cancelled_generation_frees_its_slot(engine: Hosted) -> None:
    """From another thread, while the first reads; afterwards all slots can be used."""
    handle = engine.generate(Request(engine.prompt(STORY), params(max_tokens=400, temperature=2.0, top_k=0, min_p=0.0)))
    while not deltas(list(handle.read(5))):
        pass
    threading.Thread(target=handle.cancel).start()
    with pytest.raises(errors.Cancelled):
        drain(handle)
    handle.cancel()
    handles = [engine.generate(Request(engine.prompt(STORY), params(max_tokens=1))) for _ in range(4)]
    assert [len(deltas(drain(handle))) for handle in handles] == [1, 1, 1, 1]


def test_host_killed_is_lost_then_restarted(engine: Hosted) -> None:
    """The running generation hears of it, everything works again after one restart, however many ask for it."""
    handle = engine.generate(Request(engine.prompt(STORY), params(max_tokens=400)))
    pid = engine.host.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(errors.EngineLost):
        drain(handle)
    threads = [threading.Thread(target=engine.restart, args=[pid]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.host.pid != pid
    assert len(engine.host._restarted_at) == 1
    assert text(drain(engine.generate(Request(engine.prompt(STORY), params(max_tokens=5)))))


def test_host_gets_no_secrets(engine: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that parses foreign files doesn't have our environment."""
    environment = psutil.Process(engine.host.pid).environ()
    assert not [name for name in environment if name.startswith("FOREBAY")]


def test_host_dies_with_its_worker(kind: str) -> None:
    """When stdin closes, as it does when we are killed, the host ends itself."""
    loaded = load(kind, 1)
    process = psutil.Process(loaded.host.pid)
    assert loaded.host._process is not None
    assert loaded.host._process.stdin is not None
    loaded.host._process.stdin.close()
    process.wait(60)
    loaded.close()


def test_run_that_begins_while_the_host_is_replaced_finds_the_next(engine: Hosted) -> None:
    """It takes none for its own that still loads, and so has none replaced that is sound."""
    lost = engine.incarnation
    restarting = threading.Thread(target=engine.restart, args=[lost])
    restarting.start()
    until(lambda: engine.host.pid != lost, look_s=0.001)
    found = engine.incarnation
    assert text(drain(engine.generate(Request(engine.prompt(STORY), params(max_tokens=5)))))
    restarting.join()
    assert found == engine.incarnation == engine.host.pid


def test_host_that_keeps_dying_is_given_up(kind: str) -> None:
    """Three restarts a minute, then the worker has to go."""
    loaded = load(kind, 1)
    for _ in range(hosting.RESTARTS_A_MINUTE):
        loaded.restart(loaded.incarnation)
    with pytest.raises(errors.EngineUnusable, match="4 times"):
        loaded.restart(loaded.incarnation)
    loaded.close()
    with pytest.raises(errors.EngineUnusable, match="closed"):
        loaded.restart(loaded.incarnation)


def test_host_that_dies_while_it_loads_is_replaced_too(kind: str) -> None:
    """One death among the three a minute, not the worker's end."""
    loaded = load(kind, 1)
    restarting = threading.Thread(target=loaded.restart, args=[loaded.incarnation])
    first = loaded.host.pid
    restarting.start()
    until(lambda: loaded.host.pid != first, look_s=0.001)
    psutil.Process(loaded.host.pid).kill()
    restarting.join()
    assert len(loaded.prompt("hi").ids) > 0
    assert len(loaded.host._restarted_at) == 2
    loaded.close()


def test_host_that_lives_but_does_not_answer_is_replaced(kind: str) -> None:
    """Lost is what the caller lost, whether or not the process is still there."""
    loaded = load(kind, 1)
    psutil.Process(loaded.host.pid).suspend()
    loaded.restart(loaded.incarnation)
    assert len(loaded.prompt("hi").ids) > 0
    loaded.close()


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF" + bytes(range(256)) * 16])
def test_bad_file_is_an_error_with_its_name(kind: str, tmp_path: Path, content: bytes) -> None:
    """The host says which file it couldn't load; we go on."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    model = Model("bad", kind, context=64, slots=1, types=("chat",), file=path)
    with pytest.raises(errors.EngineUnusable, match=r"bad\.gguf|before the model was loaded"):
        loading.load(model, slots=1, threads=1)


def test_mistakes_in_the_catalogue_are_named(kind: str, tmp_path: Path) -> None:
    """A missing file, an unknown option, an unknown engine."""
    missing = Model("m", kind, context=64, slots=1, types=("chat",), file=tmp_path / "none.gguf")
    odd = Model("m", kind, context=64, slots=1, types=("chat",), options={"colour": 1})
    unknown = Model("m", "steam", context=64, slots=1, types=("chat",))
    for model, told in ((missing, "none.gguf"), (odd, "colour"), (unknown, "steam")):
        with pytest.raises(errors.EngineUnusable, match=told):
            loading.load(model, slots=1, threads=1)


def test_engine_has_what_it_claims_and_claims_what_the_table_says(engine: Hosted, kind: str) -> None:
    """Every method of a generator can be called; one that gives no vectors has no method for them."""
    assert engine.capabilities == ENGINES[kind] - {Capability.EMBEDS, Capability.RERANKS, Capability.INFILLS}
    assert isinstance(engine, Generator)
    assert isinstance(engine, Embedder) == (Capability.EMBEDS in ENGINES[kind])
    prompt = engine.prompt("Hello")
    assert engine.detokenize(engine.reread("Hello")).strip() == "Hello"
    drain(engine.generate(Request(prompt, params(max_tokens=1))))
