"""The ctransformers engine's own: what its library can't do, or can't be given."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import errors
from tasks.models.engine import Finish, Progress, Request
from tests.support.waiting import until
from tests.workers.conftest import Bench
from tests.workers.runs import MODEL, QUESTION, STORY, deltas, drain, params, spent, text
from workers.engines import loading
from workers.engines.ctransformers import CTransformers
from workers.engines.llamacpp import LlamaCpp

assert MODEL.file
WHOLE = MODEL.file.read_bytes()
CT = replace(MODEL, engine="ctransformers")


def load(file: Path = MODEL.file, slots: int = 4) -> CTransformers:
    loaded = loading.load(replace(CT, file=file), slots=slots, threads=1)
    assert isinstance(loaded, CTransformers)
    return loaded


@pytest.fixture(scope="module")
def engine() -> Iterator[CTransformers]:
    loaded = load()
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def llamacpp() -> Iterator[LlamaCpp]:
    loaded = loading.load(MODEL, slots=1, threads=1)
    assert isinstance(loaded, LlamaCpp)
    yield loaded
    loaded.close()


@pytest.mark.parametrize(
    "prompt",
    [
        QUESTION,
        "",
        " two  spaces\tand\r\n\x01 control \x7f characters",
        "日本語テキスト" * 20,
        "👩‍👩‍👧‍👦 naïve Ünïcödé ﷽ \U0010ffff \ufeff",
        "a <s> within </s>and <unk> the text</s>",
        "<|im_start|>user\nhello<|im_end|>",
    ],
)
def test_prompt_has_llamacpps_tokens(engine: CTransformers, llamacpp: LlamaCpp, prompt: str) -> None:
    """Bytes, special tokens and all; counted in a room that is large enough."""
    assert engine.prompt(prompt) == llamacpp.prompt(prompt)


@given(prompt=st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=200))
def test_any_text_has_llamacpps_tokens(engine: CTransformers, llamacpp: LlamaCpp, prompt: str) -> None:
    """Whatever clients can send."""
    assert engine.prompt(prompt) == llamacpp.prompt(prompt)


def test_embeddings_are_refused() -> None:
    """By its worker before it starts: the engine has no method for them."""
    assert not hasattr(CTransformers, "embed")
    with pytest.raises(errors.EngineUnusable, match="no embeddings"):
        loading.load(replace(CT, types=("embed",)), slots=1, threads=1)


def test_cancelling_while_the_prompt_is_evaluated_frees_the_slot(engine: CTransformers) -> None:
    """After the batch under way; the cache then holds what has been evaluated, and no more."""
    prompt = engine.prompt("The code of the harbour is 19. " * 40)
    expected = text(drain(engine.generate(Request(prompt, params(max_tokens=20)))))
    for _ in range(engine.slots + 1):
        handle = engine.generate(Request(prompt, params(max_tokens=20), scope="another"))
        assert isinstance(handle.read(5)[0], Progress)
        handle.cancel()
        with pytest.raises(errors.Cancelled):
            drain(handle)
    assert text(drain(engine.generate(Request(prompt, params(max_tokens=20), scope="another")))) == expected


def test_many_long_texts_are_counted(engine: CTransformers) -> None:
    """The library's own `tokenize` writes past its buffer, and crashes some calls later."""
    counts = {engine.prompt("日本語テキスト" * 2000 + str(n % 2)).ids for n in range(20)}
    assert len(counts) == 2
    assert len(engine.prompt("still here").ids) > 0


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": QUESTION}],
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi, who are you?"},
            {"role": "assistant", "content": "A model."},
            {"role": "user", "content": "  {{ 'a' * 9 }} <b>&amp;</b> 日本\n"},
        ],
    ],
)
def test_conversation_is_rendered_as_llamacpp_does(
    engine: CTransformers, llamacpp: LlamaCpp, messages: list[dict[str, str]]
) -> None:
    """Both read the file's template, and come to one text."""
    assert engine.chat(messages) == llamacpp.chat(messages)


@pytest.mark.parametrize("changes", [{}, {"repetition_penalty": 1.3}, {"top_k": 1, "temperature": 1.0}])
def test_greedy_answer_is_llamacpps(engine: CTransformers, llamacpp: LlamaCpp, changes: dict[str, float]) -> None:
    """Token by token, with the same end."""
    prompt = engine.chat([{"role": "user", "content": QUESTION}])
    ours, theirs = (drain(each.generate(Request(prompt, params(**changes)))) for each in (engine, llamacpp))
    assert text(ours) == text(theirs)
    assert spent(ours) == spent(theirs)
    assert isinstance(theirs[-1], Finish)
    assert ours[-1] == replace(theirs[-1], cached=0)  # the other one keeps prompts


def test_seeds_are_drawn_from_token_by_token(engine: CTransformers) -> None:
    """The library would draw every token of a run with the same number: a run of tokens, over and over."""
    wild = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "max_tokens": 100}
    runs = [drain(engine.generate(Request(engine.prompt(STORY), params(seed=seed, **wild)))) for seed in (5, 6, 7)]
    ids = [[token for delta in deltas(steps) for token in delta.token_ids] for steps in runs]
    assert len({tuple(run) for run in ids}) == 3
    assert all(len(set(run)) > len(run) // 2 for run in ids)


def test_sampled_run_taken_up_in_the_middle_says_the_same(engine: CTransformers) -> None:
    """What is drawn depends on the seed and the token's number only."""
    request = Request(engine.prompt(STORY), params(seed=5, temperature=0.9))
    whole = deltas(drain(engine.generate(request)))
    emitted = tuple(token for delta in whole[:9] for token in delta.token_ids)
    rest = drain(engine.generate(replace(request, emitted=emitted, number=len(emitted))))
    assert text(rest) == "".join(delta.text for delta in whole[9:])


def test_characters_of_several_tokens_have_their_ids(engine: CTransformers) -> None:
    """Unlike llama-server, we know them: every piece is exact."""
    prompt, wild = engine.prompt("日本語日本語日本語日本語"), {"temperature": 2.0, "top_k": 0, "min_p": 0.0, "seed": 3}
    steps = drain(engine.generate(Request(prompt, params(**wild))))
    assert all(len(delta.token_ids) == delta.tokens for delta in deltas(steps))


def test_prompt_must_leave_room(engine: CTransformers) -> None:
    """Past its context the library answers with nonsense."""
    prompt = engine.prompt("the harbour " * engine.context)
    with pytest.raises(errors.ContextLengthExceeded, match=f"no room for an answer in {engine.context}"):
        drain(engine.generate(Request(prompt, params())))


def test_answer_ends_where_the_context_does(engine: CTransformers) -> None:
    """Also when more tokens are asked for."""
    prompt = engine.prompt("The code of the harbour is 19. " * 40)
    room = engine.context - len(prompt.ids)
    wild = {"temperature": 2.0, "top_k": 0, "min_p": 0.0, "top_p": 1.0}
    for seed in range(4):
        steps = drain(engine.generate(Request(prompt, params(max_tokens=9999, seed=seed, **wild))))
        ended = [step.reason for step in steps if isinstance(step, Finish)]
        assert spent(steps) == room if ended == ["length"] else spent(steps) <= room


@pytest.mark.parametrize("emitted", [(-1,), (1 << 30,)])
def test_foreign_token_is_refused(engine: CTransformers, emitted: tuple[int, ...]) -> None:
    """The library would read outside its memory."""
    with pytest.raises(errors.EngineRefused, match="doesn't know"):
        drain(engine.generate(Request(engine.prompt(STORY), params(), emitted)))


@pytest.mark.parametrize("prompt", ["a NUL \0 within", "half of a \ud800 pair"])
def test_what_is_no_text_is_refused(engine: CTransformers, prompt: str) -> None:
    """The library would stop reading there."""
    with pytest.raises(errors.EngineRefused):
        engine.prompt(prompt)


def test_more_requests_than_slots_take_their_turns(engine: CTransformers) -> None:
    """Eight on four slots: those who wait hear that the engine lives, and everyone gets the text it would alone."""
    alone = text(drain(engine.generate(Request(engine.prompt(STORY), params(max_tokens=100)))))
    handles = [
        engine.generate(Request(engine.prompt(STORY), params(max_tokens=100), scope=str(n % 3))) for n in range(8)
    ]
    answers = [drain(handle) for handle in handles]
    assert [text(steps) for steps in answers] == [alone] * 8
    assert Progress(0, len(engine.prompt(STORY).ids)) in answers[7]


def test_waiting_request_can_be_cancelled(engine: CTransformers) -> None:
    """And those before and behind it don't notice."""
    handles = [engine.generate(Request(engine.prompt(STORY), params(max_tokens=100))) for _ in range(7)]
    threading.Thread(target=handles[5].cancel).start()
    with pytest.raises(errors.Cancelled):
        drain(handles[5])
    handles[5].close()
    assert all(isinstance(drain(handle)[-1], Finish) for handle in handles[:5] + handles[6:])


def test_prompt_is_taken_from_the_cache_for_its_own_tenant_only(engine: CTransformers) -> None:
    """One evaluation after the other is told, so what is left out can be seen."""
    prompt = engine.prompt("The code of the harbour is 19. " * 20)

    def evaluated(scope: str, **changes: object) -> int:
        steps = drain(engine.generate(Request(prompt, params(max_tokens=1, **changes), scope=scope)))
        return len([step for step in steps if isinstance(step, Progress)])

    whole = evaluated("a")
    assert evaluated("a") == 1
    assert evaluated("b") == whole
    assert evaluated("a", temperature=1.0) == whole


def test_host_killed_in_the_middle_is_only_a_pause(engine: CTransformers, bench: Bench) -> None:
    """The run goes on in another host, to the same text."""
    asked = {"input": {"prompt": STORY}, "params": {"temperature": 0}}
    expected = bench.run(bench.attempt(**asked), engine)
    said = bench.text()
    bench.client.flushall()
    attempt = bench.attempt(**asked)

    lost: list[int] = []

    def kill() -> None:
        until(lambda: len(attempt.transcript.entries) >= 3, look_s=0)
        lost.append(engine.incarnation)
        engine.hang_up()

    killer = threading.Thread(target=kill)
    killer.start()
    assert bench.run(attempt, engine) == expected
    killer.join()
    engine.restart(lost[0])  # where the answer was faster than the kill, nobody has
    assert bench.text() == said


def test_host_listens_to_nobody_without_its_key(engine: CTransformers) -> None:
    """Its port is open to every local process; the key isn't. Nonsense doesn't disturb it either."""
    with pytest.raises(errors.EngineLost):
        CTransformers(CT, 1, engine.host, "k" * len(engine._key)).prompt("hi")
    for nonsense in (b"\n", b"{}\n", json.dumps({"do": "count"}).encode() * 1000, b""):
        with socket.create_connection(tuple(engine.host.ready["address"])) as connection:
            connection.sendall(nonsense)
    assert len(engine.prompt("hi").ids) > 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a GGUF file"),
        (b"Dear model, " * 10, "not a GGUF file"),
        (b"GGUF" + bytes(range(256)) * 16, "byte order|version"),
        (WHOLE[: len(WHOLE) // 2], "cut off"),
        (WHOLE.replace(b"\0llama", b"\0qwen2", 1), "architecture is 'qwen2'"),
        (WHOLE.replace(b"<0x41>", b"<0x41x"), "can't write every byte"),
        (WHOLE.replace(b"blk.0.attn_q", b"blk.0.attn_Q", 1), "can't load"),
    ],
)
def test_damaged_or_foreign_file_is_a_named_error(tmp_path: Path, content: bytes, told: str) -> None:
    """The library would crash on most of these."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(errors.EngineUnusable, match=told):
        load(path, slots=1)


def test_weights_that_are_no_numbers_are_a_named_error(tmp_path: Path) -> None:
    """A header can't tell: the first answer does."""
    path = tmp_path / "nan.gguf"
    path.write_bytes(WHOLE[:-200000] + b"\xff" * 200000)
    loaded = load(path, slots=1)
    with pytest.raises(errors.EngineError, match="isn't finite"):
        drain(loaded.generate(Request(loaded.prompt(STORY), params())))
    loaded.close()
