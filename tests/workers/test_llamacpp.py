"""The llama.cpp engine on the real library, in its host, with the demo model."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks import catalog, errors
from tasks.catalog import Model
from tasks.engine import Delta, Finish, Handle, Params, Progress, Request, Step
from tests.workers.conftest import Bench
from workers import engines
from workers.engines import hosting
from workers.engines.llamacpp import LlamaCpp

ROOT = Path(__file__).parents[2]
MODEL = catalog.load(ROOT / "models" / "catalog.toml")["demo-chat"]
QUESTION = "Context: The code of the harbour is 19.\nQuestion: What is the code of the harbour?"
STORY = "User: Tell me a story about Anna.\nAssistant:"


def params(**changes: object) -> Params:
    whole = {"max_tokens": 60, "temperature": 0.0, "top_p": 0.95, "top_k": 40, "min_p": 0.05}
    return Params(**({"repetition_penalty": 1.0, "stop": (), "seed": 1} | whole | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCpp]:
    loaded = engines.load(MODEL, slots=4, threads=1)
    assert isinstance(loaded, LlamaCpp)
    yield loaded
    loaded.close()


def drain(handle: Handle) -> list[Step]:
    steps: list[Step] = []
    try:
        while not (steps and isinstance(steps[-1], Finish)):
            steps += handle.read(5)
    finally:
        handle.close()
    return steps


def deltas(steps: list[Step]) -> list[Delta]:
    return [step for step in steps if isinstance(step, Delta)]


def text(steps: list[Step]) -> str:
    return "".join(delta.text for delta in deltas(steps))


def test_question_is_answered_from_its_context(engine: LlamaCpp) -> None:
    """Template, tokens, answer, end: the whole of one generation."""
    prompt = engine.render([{"role": "user", "content": QUESTION}])
    steps = drain(engine.generate(Request(prompt, params())))
    assert text(steps).strip() == "The code of the harbour is 19."
    assert steps[-1] == Finish("stop", 1)
    assert all(len(delta.token_ids) == delta.tokens for delta in deltas(steps))


def test_long_prompt_tells_how_far_it_has_come(engine: LlamaCpp) -> None:
    """In batches, from nothing to all of it."""
    prompt = "The code of the harbour is 19. " * 20
    steps = drain(engine.generate(Request(prompt, params(max_tokens=1))))
    told = [step for step in steps if isinstance(step, Progress)]
    total = engine.count_tokens(prompt)
    assert len(told) >= total // 64
    assert told[-1] == Progress(total, total)


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_greedy_run_continued_from_its_token_ids_says_the_same(engine: LlamaCpp, cut: int) -> None:
    """Prompt and emitted ids together give exactly the rest."""
    whole = deltas(drain(engine.generate(Request(STORY, params(repetition_penalty=1.1)))))
    emitted = tuple(token for delta in whole[:cut] for token in delta.token_ids)
    rest = drain(engine.generate(Request(STORY, params(repetition_penalty=1.1), emitted)))
    assert text(rest) == "".join(delta.text for delta in whole[cut:])


def test_seeded_run_repeated_says_the_same(engine: LlamaCpp) -> None:
    """What has been drawn is drawn again with the same seed, and otherwise with another."""
    runs = [text(drain(engine.generate(Request(STORY, params(temperature=1.2, seed=seed))))) for seed in (5, 5, 6)]
    assert runs[0] == runs[1] != runs[2]


def test_neighbours_do_not_change_a_greedy_answer(engine: LlamaCpp) -> None:
    """Slots with caches of their own: the text beside three other generations is the text alone."""
    alone = text(drain(engine.generate(Request(STORY, params(max_tokens=100)))))
    together: list[str] = []

    def tell() -> None:
        together.append(text(drain(engine.generate(Request(STORY, params(max_tokens=100), scope=str(len(together)))))))

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [alone] * 4


def test_stop_string_is_held_back_and_counted(engine: LlamaCpp) -> None:
    """No part of it reaches the reader; its tokens were spent all the same."""
    whole = text(drain(engine.generate(Request(STORY, params()))))
    steps = drain(engine.generate(Request(STORY, params(stop=("walked to",)))))
    assert text(steps) == whole[: whole.index("walked to")]
    spent = sum(delta.tokens for delta in deltas(steps)) + (steps[-1].tokens if isinstance(steps[-1], Finish) else 0)
    assert spent > engine.count_tokens(text(steps).strip())


def test_attempt_killed_just_before_its_end_at_a_stop_string_ends_there_again(engine: LlamaCpp, bench: Bench) -> None:
    """The last piece's ids reach into the stop string: continuing after them would run past it."""
    asked = {"input": {"prompt": STORY}, "params": {"temperature": 0, "stop": ["walked to"]}}
    first = bench.run(bench.attempt(**asked), engine)
    said = bench.text()
    assert bench.run(bench.attempt(2, **asked), engine) == first
    assert bench.text() == said


def test_character_of_several_tokens_comes_whole(engine: LlamaCpp) -> None:
    """A repeated Japanese text is byte tokens to this vocabulary: pieces are whole characters, ids unknown."""
    steps = drain(
        engine.generate(Request("日本語日本語日本語日本語", params(temperature=2.0, top_k=0, min_p=0.0, seed=3)))
    )
    assert sum(delta.tokens for delta in deltas(steps)) + steps[-1].tokens <= 60  # type: ignore[union-attr]
    assert all(len(delta.token_ids) in (0, delta.tokens) for delta in deltas(steps))


def test_cancelled_generation_frees_its_slot(engine: LlamaCpp) -> None:
    """From another thread, while the first reads; afterwards all slots can be used."""
    handle = engine.generate(Request(STORY, params(max_tokens=400, temperature=2.0, top_k=0, min_p=0.0)))
    while not deltas(list(handle.read(5))):
        pass
    threading.Thread(target=handle.cancel).start()
    with pytest.raises(errors.Cancelled):
        drain(handle)
    handle.cancel()
    handles = [engine.generate(Request(STORY, params(max_tokens=1))) for _ in range(4)]
    assert [len(deltas(drain(handle))) for handle in handles] == [1, 1, 1, 1]


def test_cached_prompt_serves_only_the_tenant_that_left_it(engine: LlamaCpp) -> None:
    """A tenant gets its own slot's cache back; another gets a slot without one."""
    drain(engine.generate(Request(STORY, params(max_tokens=1), scope="a")))
    own, own_cached = engine._take_slot("a")
    other, other_cached = engine._take_slot("b")
    engine._give_back(own)
    engine._give_back(other)
    assert own_cached
    assert not other_cached
    assert own != other


def test_host_killed_is_lost_then_restarted(engine: LlamaCpp) -> None:
    """The running generation hears of it, everything works again after one restart, however many ask for it."""
    handle = engine.generate(Request(STORY, params(max_tokens=400)))
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
    assert text(drain(engine.generate(Request(STORY, params(max_tokens=5)))))


def test_host_listens_to_nobody_without_its_key(engine: LlamaCpp) -> None:
    """Its port is open to every local process; the key isn't."""
    stranger = LlamaCpp("x", 1, 512, 64, engine.host, "wrong key")
    with pytest.raises(errors.EngineError, match="401"):
        stranger.count_tokens("hi")


def test_host_gets_no_secrets(engine: LlamaCpp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that parses foreign files doesn't have our environment."""
    environment = psutil.Process(engine.host.pid).environ()
    assert not [name for name in environment if name.startswith("FOREBAY")]


def test_host_dies_with_its_worker() -> None:
    """When stdin closes, as it does when we are killed, the host ends itself."""
    loaded = engines.load(MODEL, slots=1, threads=1)
    assert isinstance(loaded, LlamaCpp)
    process = psutil.Process(loaded.host.pid)
    assert loaded.host._process is not None
    assert loaded.host._process.stdin is not None
    loaded.host._process.stdin.close()
    process.wait(10)
    loaded.close()


def test_host_that_keeps_dying_is_given_up(engine: LlamaCpp) -> None:
    """Three restarts a minute, then the worker has to go."""
    loaded = engines.load(MODEL, slots=1, threads=1)
    assert isinstance(loaded, LlamaCpp)
    for _ in range(hosting.RESTARTS_A_MINUTE):
        loaded.restart(loaded.incarnation)
    with pytest.raises(errors.EngineUnusable, match="4 times"):
        loaded.restart(loaded.incarnation)
    loaded.close()
    with pytest.raises(errors.EngineUnusable, match="closed"):
        loaded.restart(loaded.incarnation)


def test_host_that_lives_but_does_not_answer_is_replaced() -> None:
    """Lost is what the caller lost, whether or not the process is still there."""
    loaded = engines.load(MODEL, slots=1, threads=1)
    assert isinstance(loaded, LlamaCpp)
    psutil.Process(loaded.host.pid).suspend()
    loaded.restart(loaded.incarnation)
    assert loaded.count_tokens("hi") > 0
    loaded.close()


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF" + bytes(range(256)) * 16])
def test_bad_file_is_an_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    """The host says which file it couldn't load; we go on."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    model = Model("bad", "llamacpp", context=64, slots=1, types=("chat",), file=path)
    with pytest.raises(errors.EngineUnusable, match=r"bad\.gguf|before the model was loaded"):
        engines.load(model, slots=1, threads=1)


def test_mistakes_in_the_catalogue_are_named(tmp_path: Path) -> None:
    """A missing file, an unknown option, an unknown engine."""
    missing = Model("m", "llamacpp", context=64, slots=1, types=("chat",), file=tmp_path / "none.gguf")
    odd = Model("m", "echo", context=64, slots=1, types=("chat",), options={"colour": 1})
    unknown = Model("m", "steam", context=64, slots=1, types=("chat",))
    for model, told in ((missing, "none.gguf"), (odd, "colour"), (unknown, "steam")):
        with pytest.raises(errors.EngineUnusable, match=told):
            engines.load(model, slots=1, threads=1)


def test_llama_server_binary_takes_the_wheels_place(tmp_path: Path) -> None:
    """The catalogue may name a llama-server: it is started with the same settings, and ends with its worker."""
    binary = tmp_path / "llama-server"
    binary.write_text(f'#!/bin/sh\nexec {os.sys.executable} {ROOT}/tests/workers/llama_server.py "$@"\n')  # type: ignore[attr-defined]
    binary.chmod(0o755)
    model = Model("m", "llamacpp", 512, 2, ("chat",), MODEL.file, options={"binary": str(binary)})
    loaded = engines.load(model, slots=2, threads=1)
    assert isinstance(loaded, LlamaCpp)
    prompt = loaded.render([{"role": "user", "content": QUESTION}])
    assert text(drain(loaded.generate(Request(prompt, params())))).strip() == "The code of the harbour is 19."
    [server] = psutil.Process(loaded.host.pid).children()
    server.kill()
    lost = loaded.incarnation
    psutil.Process(lost).wait(10)
    with pytest.raises(errors.EngineLost):
        loaded.count_tokens("anything")
    loaded.restart(lost)
    [server] = psutil.Process(loaded.host.pid).children()
    loaded.close()
    deadline = time.monotonic() + 10
    while server.is_running() and server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
