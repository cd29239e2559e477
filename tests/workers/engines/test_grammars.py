"""llama.cpp itself holds answers to the grammars that we print, on both kinds of vocabulary, also in the middle."""

import json
import random
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks import random_gguf
from tasks.models.catalog import Model
from tasks.shapes import check, following, schema
from tasks.shapes.gbnf import gbnf
from tests.support import schemas
from tests.workers.runs import MODEL
from workers.engines import loading
from workers.engines.llamacpp import LlamaCpp

SEEDS = range(40)
_LONGEST = 200
_LOST = "\ufffd"  # a character that was cut between its bytes

# What a printed grammar is most likely to be refused for: numbers of rules, repetitions, depth, characters.
LARGE: dict[str, Any] = {
    "enum": {"enum": [f'{place:05} é"\\\n' for place in range(5_000)]},
    "optional": {"type": "object", "properties": {f"p{place}": {"type": "integer"} for place in range(300)}},
    "long": {"type": "string", "minLength": 2, "maxLength": 90_000},
    "pattern": {"type": "string", "pattern": "^[a-c]{2,}[^x]{0,5}$"},
    "hosts": {"type": "array", "items": {"type": "string", "format": "hostname"}, "maxItems": 3_000},
    "depth": {"$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
    "any": {"type": "object", "additionalProperties": True},
}


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Server:
    engine: LlamaCpp

    def answer(self, grammar: str, seed: int, longest: int = _LONGEST, said: str = "") -> Answer:
        """What the model says under the grammar, after `said`. Fails when the grammar is refused."""
        body = {
            "prompt": f"Question: say something in JSON.\nAnswer: {said}",
            "grammar": grammar,
            "n_predict": longest,
            "temperature": 1.0,
            "seed": seed,
        }
        request = urllib.request.Request(
            f"{self.engine.host.ready['address']}/completion",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.engine._key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            told = json.load(response)
        return Answer(told["content"], told["stop_type"] == "eos")


@pytest.fixture(scope="module", params=["sentencepiece", "bytes"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo model, and one of random weights with a BPE vocabulary."""
    model = MODEL
    if request.param == "bytes":
        shape = random_gguf.of_bytes(random_gguf.SHAPES["tiny"], "qwen2")
        file = random_gguf.write(tmp_path_factory.mktemp("models") / "bytes.gguf", shape)
        model = Model("bytes", "llamacpp", 512, 2, ("generate",), file)
    engine = loading.load(model, slots=1, threads=1)
    assert isinstance(engine, LlamaCpp)
    yield Server(engine)
    engine.close()


def test_answers_that_end_satisfy_their_schemas(server: Server) -> None:
    """Of generated schemas; most answers come to an end by themselves."""
    ended = 0
    for seed in SEEDS:
        told, _ = schemas.Schemas(seed).pair()
        compiled = schema.compile(told)
        answer = server.answer(gbnf(compiled.grammar), seed)
        if answer.ended and _LOST not in answer.text:
            ended += 1
            assert check.faults(told, json.loads(answer.text)) is None, (seed, answer)
    assert ended > len(SEEDS) // 2


def test_answers_cut_anywhere_go_on_and_end_valid(server: Server) -> None:
    """Another run is given what was said, and the grammar of the rest."""
    ended = 0
    for seed in SEEDS:
        told, _ = schemas.Schemas(seed).pair()
        grammar = schema.compile(told).grammar
        begun = server.answer(gbnf(grammar), seed, random.Random(seed).randint(1, 12)).text
        if _LOST in begun:
            continue
        rest = following.rest(grammar, begun)
        assert rest is not None, (seed, begun)
        answer = server.answer(gbnf(rest), seed + 1, said=begun)
        if answer.ended and _LOST not in answer.text:
            ended += 1
            assert check.faults(told, json.loads(begun + answer.text)) is None, (seed, begun, answer)
    assert ended > len(SEEDS) // 2


@pytest.mark.parametrize("name", LARGE)
def test_large_grammars_are_taken(server: Server, name: str) -> None:
    """Nothing that we print is refused, and what is said is what the grammar allows."""
    grammar = schema.compile(LARGE[name]).grammar
    answer = server.answer(gbnf(grammar), 1, 30)
    assert answer.text
    assert _LOST in answer.text or following.rest(grammar, answer.text) is not None, answer
