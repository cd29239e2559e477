"""What stands between two texts: the tokens that ask for it, in the engines' hands."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import errors
from tasks.models.catalog import Model
from tasks.models.engine import Prompt, Request
from tests.support import catalogs
from tests.workers import files
from tests.workers.conftest import Bench
from tests.workers.runs import MODEL, deltas, drain, params
from workers.engines import gguf, loading, vocabulary
from workers.engines.ctransformers import CTransformers
from workers.engines.llamacpp import LlamaCpp

Hosted = LlamaCpp | CTransformers

BEFORE, AFTER, BETWEEN = 11, 12, 13  # bytes that no text of the tests has
PROMPT, SUFFIX = "Anna went to the", "and came home."
OLDER = {"prefix_token_id": BEFORE, "suffix_token_id": AFTER, "middle_token_id": BETWEEN}
NEWER = {"fim_pre_token_id": BEFORE, "fim_suf_token_id": AFTER, "fim_mid_token_id": BETWEEN}


def infilling(kind: str, folder: Path) -> Model:
    file = files.infilling(catalogs.DEMO_FILE, folder / "infilling.gguf", **OLDER)
    return replace(MODEL, engine=kind, file=file, types=("generate", "infill"))


@pytest.fixture(scope="module", params=["llamacpp", "ctransformers"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    loaded = loading.load(infilling(request.param, tmp_path_factory.mktemp("infill")), slots=2, threads=1)
    assert isinstance(loaded, Hosted)
    yield loaded
    loaded.close()


def test_texts_stand_between_their_tokens(engine: Hosted) -> None:
    """What the model puts before a text, then the prompt, its suffix, and the token after which it fills in."""
    start = engine.prompt("").ids
    before = engine.prompt(PROMPT).ids[len(start) :]
    ids = (*start, BEFORE, *before, AFTER, *engine.reread(SUFFIX), BETWEEN)
    assert engine.infill(PROMPT, SUFFIX) == Prompt(PROMPT + SUFFIX, ids)


def test_name_of_a_special_token_is_words_in_it(engine: Hosted) -> None:
    """Whoever writes a programme about models isn't cut short by its texts."""
    special = engine.prompt("</s>").ids[-1]
    assert special in engine.prompt("a</s>").ids
    assert special not in engine.infill("a</s>", "</s>b").ids


def test_too_much_is_refused_whichever_of_the_two_it_is(engine: Hosted, bench: Bench) -> None:
    """By the tokens of both together."""
    for given in ({"prompt": "word " * 600, "suffix": "a"}, {"prompt": "a", "suffix": "word " * 600}):
        with pytest.raises(errors.ContextLengthExceeded):
            bench.run(bench.attempt(input=given), engine)


def test_attempt_goes_on_where_a_killed_one_was(engine: Hosted, bench: Bench) -> None:
    """From the tokens that were told, after the same prompt: the whole is what one run says."""
    whole = deltas(drain(engine.generate(Request(engine.infill(PROMPT, SUFFIX), params(max_tokens=24)))))
    asked = {
        "input": {"prompt": PROMPT, "suffix": SUFFIX},
        "params": {"temperature": 0, "max_tokens": 24, "repetition_penalty": 1.0},
    }
    bench.run(bench.attempt(**{**asked, "params": {**asked["params"], "max_tokens": 5}}), engine)
    assert 0 < len(bench.text()) < len("".join(delta.text for delta in whole))
    ended = bench.run(bench.attempt(2, **asked), engine)
    assert bench.text() == "".join(delta.text for delta in whole)
    assert ended.spent.prompt == len(engine.infill(PROMPT, SUFFIX).ids)


@pytest.mark.parametrize("kind", ["llamacpp", "ctransformers"])
def test_model_without_the_tokens_is_not_served_as_if_it_had_them(kind: str) -> None:
    """The catalogue promised too much, and its worker says so."""
    with pytest.raises(errors.EngineUnusable, match="no tokens to fill in by"):
        loading.load(replace(MODEL, engine=kind, types=("generate", "infill")), slots=1, threads=1)


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        (OLDER, (BEFORE, AFTER, BETWEEN)),
        (NEWER, (BEFORE, AFTER, BETWEEN)),
        ({**OLDER, "fim_pre_token_id": 14}, (14, AFTER, BETWEEN)),
        ({**OLDER, "middle_token_id": 1 << 20}, None),
        ({**OLDER, "middle_token_id": AFTER}, None),
        ({"prefix_token_id": BEFORE}, None),
        ({}, None),
    ],
)
def test_header_tells_the_tokens_whole_or_not_at_all(
    keys: dict[str, int], found: tuple[int, int, int] | None, tmp_path: Path
) -> None:
    """By the newer keys, then by the older; none that the vocabulary doesn't have."""
    file = files.infilling(catalogs.DEMO_FILE, tmp_path / "m.gguf", **keys)
    assert vocabulary.between(gguf.read(file)) == found


@pytest.mark.parametrize(("kind", "found"), [(3, (3, 5, 4)), (4, (3, 5, 4)), (1, None)])
def test_tokens_are_known_by_their_names_too_where_they_are_no_words(
    kind: int, found: tuple[int, int, int] | None, tmp_path: Path
) -> None:
    """Many files have them in the vocabulary and nowhere else."""
    names = dict.fromkeys(("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"), kind)
    file = files.foreign(tmp_path / "m.gguf", "qwen2", "gpt2", files.TOKENS | names)
    assert vocabulary.between(gguf.read(file)) == found
