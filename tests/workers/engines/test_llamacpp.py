"""The llama.cpp engine's own: slots, key, binaries."""

import sys
import urllib.request
import uuid
from pathlib import Path

import psutil
import pytest

from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Finish, Request
from tests.support.platform import is_gone
from tests.support.waiting import until
from tests.workers.runs import MODEL, QUESTION, ROOT, STORY, deltas, drain, params, text
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp, _Kept

RULES = "You are the clerk of a harbour. Say how deep it is, and when the tide turns. " * 4


def test_cached_prompt_serves_only_the_tenant_that_left_it(engine: LlamaCpp) -> None:
    """A tenant gets its own slot's cache back; another gets a slot without one, though it asks the very same."""
    story = engine.prompt(RULES)
    drain(engine.generate(Request(story, params(max_tokens=1), scope="a")))
    own, own_cached = engine._take_slot(_Kept("a", story.ids))
    other, other_cached = engine._take_slot(_Kept("b", story.ids))
    engine._give_back(own)
    engine._give_back(other)
    assert own_cached
    assert not other_cached
    assert own != other


def cached(engine: LlamaCpp, prompt: str, scope: str = "rules", **changes: object) -> int:
    """How many tokens of the prompt weren't evaluated again."""
    request = Request(engine.prompt(prompt), params(max_tokens=2, **changes), scope=scope)
    [end] = [step for step in drain(engine.generate(request)) if isinstance(step, Finish)]
    return end.cached


def test_prompt_goes_to_the_slot_that_has_its_beginning(engine: LlamaCpp) -> None:
    """Of two groups of prompts in turn, each keeps its slot; and what is told as cached is what the server reused."""
    others = RULES.replace("clerk", "keeper")
    first = [cached(engine, text, "groups") for text in (RULES, others)]
    again = [cached(engine, f"{text} Say {n}.", "groups") for n in range(3) for text in (RULES, others)]
    least = len(engine.prompt(RULES).ids) - 2
    assert max(first) < least <= min(again)


def test_engine_tells_whose_prompts_its_slots_have() -> None:
    """The free ones first, and of those the one that was freed last. A slot is taken while its job generates."""
    alone = loading.load(MODEL, slots=3, threads=1)
    assert isinstance(alone, LlamaCpp)
    jobs = [uuid.uuid4() for _ in range(3)]
    handles = [alone.generate(Request(alone.prompt(f"{n}"), params(), scope="a", job_id=jobs[n])) for n in range(3)]
    assert alone.kept() == [(job_id, False) for job_id in jobs]
    for n in (1, 0):
        drain(handles[n])
    assert alone.kept() == [(jobs[0], True), (jobs[1], True), (jobs[2], False)]
    drain(handles[2])
    drain(alone.generate(Request(alone.prompt("no job's"), params(), scope="a")))
    assert alone.kept() == [(jobs[2], True), (jobs[0], True)]
    alone.close()


def test_tenant_that_asks_something_else_leaves_what_it_has_cached() -> None:
    """It takes a slot that has nothing, while there is one."""
    alone = loading.load(MODEL, slots=2, threads=1)
    assert isinstance(alone, LlamaCpp)
    assert [cached(alone, text) > 32 for text in (RULES, STORY, RULES + " Say it.")] == [False, False, True]
    alone.close()


def test_drawn_answer_uses_what_is_cached_unless_its_seed_was_given(engine: LlamaCpp) -> None:
    """By a seed that the client gave, the same answer is looked for, and rounding would make another."""
    assert not cached(engine, RULES, "drawn", temperature=1.0, seeded=False)
    assert cached(engine, RULES, "drawn", temperature=1.0, seeded=False) > 32
    assert not cached(engine, RULES, "drawn", temperature=1.0)


def test_slot_in_which_an_answer_was_taken_up_keeps_nothing(engine: LlamaCpp) -> None:
    """Its tokens were evaluated in other batches than a whole run's: the next run begins anew."""
    story = engine.prompt(STORY)
    whole = deltas(drain(engine.generate(Request(story, params(max_tokens=20), scope="c"))))
    emitted = tuple(token for delta in whole[:9] for token in delta.token_ids)
    drain(engine.generate(Request(story, params(max_tokens=20), emitted, len(emitted), scope="c")))
    assert "c" not in {kept.scope for kept in engine._kept.values()}


def test_host_listens_to_nobody_without_its_key(engine: LlamaCpp) -> None:
    """Its port is open to every local process; the key isn't."""
    stranger = LlamaCpp(MODEL, 1, 64, engine.host, "wrong key", engine.tokenizer)
    with pytest.raises(errors.EngineError, match="401"):
        stranger.embed([(1,)])


def test_host_lets_no_page_of_a_browser_read_it(engine: LlamaCpp) -> None:
    """Whatever origin asks, none is allowed."""
    asked = urllib.request.Request(f"{engine.host.ready['address']}/health", headers={"Origin": "http://evil.example"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] in (None, "")


def test_llama_server_binary_takes_the_wheels_place(tmp_path: Path) -> None:
    """The catalogue may name a llama-server: it is started with the same settings, and ends with its worker."""
    binary = tmp_path / "llama-server"
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/workers/llama_server.py "$@"\n')
    binary.chmod(0o755)
    model = Model("m", "llamacpp", 512, 2, ("chat",), MODEL.file, options={"binary": str(binary)})
    loaded = loading.load(model, slots=2, threads=1)
    assert isinstance(loaded, LlamaCpp)
    prompt = loaded.chat([{"role": "user", "content": QUESTION}])
    assert text(drain(loaded.generate(Request(prompt, params())))).strip() == "The code of the harbour is 19."
    [server] = psutil.Process(loaded.host.pid).children()
    server.kill()
    lost = loaded.incarnation
    psutil.Process(lost).wait(60)
    with pytest.raises(errors.EngineGone):
        loaded.generate(Request(prompt, params()))
    loaded.restart(lost)
    [server] = psutil.Process(loaded.host.pid).children()
    loaded.close()
    until(lambda: is_gone(server))
