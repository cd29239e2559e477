"""The tokenizer process: what it makes of texts, and that no text's end is anybody else's."""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Request
from tests.workers import files
from tests.workers.conftest import Bench
from tests.workers.runs import MODEL, STORY, deltas, drain, params, text
from workers.engines import gguf, loading, tokenizer
from workers.engines.hosting import Host
from workers.engines.llamacpp import LlamaCpp
from workers.engines.marks import Marks
from workers.engines.tokenizer import Tokenizer
from workers.stages import prompts


class Mortal(Host):
    """A process that dies of the questions in `deadly`, as often as it says there."""

    def __init__(self, deadly: Mapping[str, int]) -> None:
        super().__init__("none", {}, 1)
        self.deadly, self.restarts = dict(deadly), 0

    def ask(self, question: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        if self.deadly.get(question["given"], 0):
            self.deadly[question["given"]] -= 1
            raise errors.EngineLost("it has ended")
        return {"answer": [1, 2]}

    def restart(self, lost: int, *, explained: bool = False) -> None:
        self.restarts += 1


def test_text_that_the_process_dies_of_twice_is_poison_and_the_next_is_read() -> None:
    """Nothing else was in the process, so nobody else is charged; it is started again before that is said."""
    host = Mortal({"deadly": 99})
    texts = Tokenizer(host, 512)
    with pytest.raises(errors.Poison):
        texts.prompt("deadly")
    assert host.restarts == 2
    assert texts.prompt("harmless").ids == (1, 2)


def test_text_that_takes_too_long_is_poison_at_once() -> None:
    """It isn't tried a second time: others wait for the process."""
    host = Mortal({})

    def hang(question: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        raise errors.EngineLost("it has been ended") from TimeoutError("it doesn't answer")

    host.ask = hang  # type: ignore[method-assign]
    with pytest.raises(errors.Poison, match="takes more than 5 s"):
        Tokenizer(host, 512).prompt("slow")
    assert host.restarts == 1


def test_process_that_was_killed_from_outside_is_nobodys_fault() -> None:
    """The text is read by the next one."""
    assert Tokenizer(Mortal({"harmless": 1}), 512).prompt("harmless").ids == (1, 2)


def test_text_of_more_tokens_than_the_context_is_refused_before_all_of_it_is_read() -> None:
    """Counted in pieces, between which others have their turn."""
    host = Mortal({})
    asked: list[int] = []
    host.ask = lambda question, limit_s: asked.append(len(question["given"])) or {"answer": [0] * 400}  # type: ignore[method-assign,func-returns-value]
    with pytest.raises(errors.ContextLengthExceeded, match="more than 512 tokens"):
        Tokenizer(host, 512).prompt("x" * 50 * tokenizer._PIECE)
    assert asked == [tokenizer._PIECE] * 2


def test_tokenizer_that_was_idle_reads_the_next_text(engine: LlamaCpp) -> None:
    """However long: its own server closes connections that nothing comes by."""
    before = engine.tokenizer.host.pid
    for pause_s in (0.0, 6.0):
        time.sleep(pause_s)  # its server's limit is five seconds, and of no setting
        assert engine.prompt(STORY).ids
    assert engine.tokenizer.host.pid == before


def test_tokenizer_killed_under_a_generation_does_not_disturb_it(engine: LlamaCpp) -> None:
    """It goes on, and the next text is read by the process that takes the dead one's place."""
    story = engine.prompt(STORY)
    handle = engine.generate(Request(story, params(max_tokens=200)))
    lost = engine.tokenizer.host.pid
    os.kill(lost, signal.SIGKILL)
    assert engine.prompt(STORY) == story
    assert engine.tokenizer.host.pid != lost
    assert text(drain(handle))
    assert engine.incarnation == engine.host.pid


@pytest.mark.parametrize("kind", ["llamacpp", "ctransformers"])
def test_special_tokens_in_contents_are_words_and_in_raw_prompts_tokens(kind: str) -> None:
    """Every special token of the vocabulary: in a chat its letters, in `generate` itself."""
    assert MODEL.file is not None
    header = gguf.read(MODEL.file)
    loaded = loading.load(replace(MODEL, engine=kind), slots=1, threads=1)
    try:
        empty = loaded.chat([{"role": "user", "content": "X X"}]).ids
        for name, number in Marks.of(header, header.template).ids.items():
            told = loaded.chat([{"role": "user", "content": f"X{name}X"}])
            assert told.ids.count(number) == empty.count(number)
            assert f"X{name}X" in told.text
            assert number in loaded.prompt(f"X{name}X").ids
    finally:
        loaded.close()


TURNS = (
    "{% for m in messages %}{{ '<turn>' + m['role'] + '\n' + m['content'] + '<end>' }}{% endfor %}{{ '<turn>model\n' }}"
)


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[LlamaCpp]:
    """The demo model with a template in the catalogue."""
    template = tmp_path / "turns.jinja"
    template.write_text(TURNS)
    loaded = loading.load(replace(MODEL, template=template), slots=1, threads=1)
    assert isinstance(loaded, LlamaCpp)
    yield loaded
    loaded.close()


def test_template_of_the_catalogue_takes_the_place_of_the_models_own(turns: LlamaCpp) -> None:
    """With its own words, which are no tokens of this vocabulary."""
    told = turns.chat([{"role": "user", "content": "hello"}])
    assert told.text == "<turn>user\nhello<end><turn>model\n"
    assert told.ids == turns.prompt(told.text).ids


def test_text_in_the_middle_of_an_answer_is_read_without_anything_before_it(engine: LlamaCpp) -> None:
    """Neither the beginning of text nor the space that this vocabulary puts before one."""
    answer = deltas(drain(engine.generate(Request(engine.prompt(STORY), params()))))
    ids = tuple(token for delta in answer for token in delta.token_ids)
    assert engine.reread("".join(delta.text for delta in answer)) == ids
    assert engine.detokenize(ids) == "".join(delta.text for delta in answer)


@pytest.mark.parametrize(
    ("types", "template", "told"),
    [
        (("chat",), None, "has no chat template"),
        (("generate", "chat"), None, "has no chat template"),
        (("chat",), "{% if %}", "Expected an expression"),
    ],
)
def test_model_that_is_to_chat_and_cannot_is_refused(
    tmp_path: Path, types: tuple[str, ...], template: str | None, told: str
) -> None:
    """Rather than answered in a form it was never taught."""
    model = bare(tmp_path, types, template)
    with pytest.raises(errors.EngineUnusable, match=told):
        loading.load(model, slots=1, threads=1)


def test_broken_template_does_not_stop_generate(tmp_path: Path) -> None:
    """Chats are refused with its mistake, in one line."""
    loaded = loading.load(bare(tmp_path, ("generate", "chat"), "{% if %}"), slots=1, threads=1)
    try:
        assert len(loaded.prompt("a b").ids) > 0
        with pytest.raises(errors.EngineRefused, match="Expected an expression"):
            loaded.chat([{"role": "user", "content": "hi"}])
    finally:
        loaded.close()


def bare(folder: Path, types: tuple[str, ...], template: str | None) -> Model:
    """The demo model's weights without its template, or with another one."""
    assert MODEL.file is not None
    path = files.without_template(MODEL.file, folder / "bare.gguf")
    if template is None:
        return replace(MODEL, types=types, file=path)
    (folder / "own.jinja").write_text(template)
    return replace(MODEL, types=types, file=path, template=folder / "own.jinja")


def test_special_tokens_in_passages_and_questions_are_words(engine: LlamaCpp, bench: Bench) -> None:
    """What a document says of them is no end of a turn."""

    def asked(mark: str) -> tuple[int, ...]:
        handed = {"passages": [{"text": f"The code {mark} is 19.", "score": 1.0}]}
        given = {"question": f"What {mark} is the code?", "collection": "facts"}
        attempt = bench.attempt(type="rag", input=given, stage_input=handed)
        prompt, _ = prompts.compose(attempt.claim, engine, attempt.transcript)
        return prompt.ids

    assert MODEL.file is not None
    header = gguf.read(MODEL.file)
    for name, number in Marks.of(header, header.template).ids.items():
        assert asked(name).count(number) == asked("nothing").count(number)
        assert len(asked(name)) > len(asked(""))


def test_template_without_end_costs_its_own_chats_and_nothing_else(tmp_path: Path) -> None:
    """It is cut off; raw prompts and embeddings of the model go on, and so does the process."""
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    loaded = loading.load(bare(tmp_path, ("generate", "chat"), endless), slots=1, threads=1)
    try:
        assert isinstance(loaded, LlamaCpp)
        before = loaded.tokenizer.host.pid
        with pytest.raises(errors.EngineRefused, match="it takes more than 2 s"):
            loaded.chat([{"role": "user", "content": "hi"}])
        assert len(loaded.prompt("a b").ids) > 0
        assert loaded.tokenizer.host.pid == before
    finally:
        loaded.close()
