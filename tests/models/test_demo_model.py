"""The shipped demo model on questions about names it has never seen, through the platform's engines."""

import dataclasses
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.train import chats, contexts, documents, measure, names, probes
from models.train.probes import Probe
from tasks.models import catalog
from tasks.models.engine import Generator
from workers.engines import loading

ROOT = Path(__file__).parents[2]
MODEL = catalog.load(ROOT / "models" / "catalog.toml")["demo-chat"]
FACT_SHEET = (ROOT / "cli" / "launcher" / "tour" / "fact_sheet.txt").read_text(encoding="utf-8").strip()

# One in so many of the held-out questions is asked: they tell whether the platform asks as it did. How good the model
# is, `python -m models.train.measure` tells.
STRIDE = 6
# Of those asked here, so many are answered; another CPU's rounding may turn some over.
RIGHT = {"single": 25, "distractors": 23, "absent": 29}
ROUNDING = 2


@pytest.fixture(scope="module")
def engine() -> Iterator[Generator]:
    loaded = loading.load(MODEL, slots=1, threads=1)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def other() -> Iterator[Generator]:
    """The file that `llamacpp` reads, by the other library."""
    loaded = loading.load(dataclasses.replace(MODEL, engine="ctransformers"), slots=1, threads=1)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def answers(engine: Generator) -> list[tuple[Probe, str]]:
    """The held-out questions that are asked here, and what the model says to each."""
    return [(probe, ask(engine, probe.message)) for probe in probes.read()[::STRIDE]]


def ask(engine: Generator, message: str) -> str:
    return measure.ask(engine, engine.chat([{"role": "user", "content": message}]))


@pytest.mark.parametrize("kind", RIGHT)
def test_held_out_questions_are_answered_exactly(answers: list[tuple[Probe, str]], kind: str) -> None:
    """Right to the letter, contexts of up to 400 tokens, both forms."""
    right = [said == probe.answer for probe, said in answers if probe.kind == kind]
    assert sum(right) >= RIGHT[kind] - ROUNDING


def test_both_libraries_read_and_answer_alike(
    engine: Generator, other: Generator, answers: list[tuple[Probe, str]]
) -> None:
    """Tokens are always alike; greedy words are but where two nearly equal ones are rounded apart, which is rare."""
    answers = answers[::3]
    prompts = [engine.chat([{"role": "user", "content": probe.message}]) for probe, _ in answers]
    assert prompts == [other.chat([{"role": "user", "content": probe.message}]) for probe, _ in answers]
    same = [ask(other, probe.message) == said for probe, said in answers]
    assert sum(same) >= len(same) - 1


@pytest.mark.parametrize("opening", ["Context: {}\n", documents.PLATFORM_FORM.replace("{passages}", "{}") + "\n"])
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the code of the harbour?", "The code of the harbour is 19."),
        ("What is the job of Clara?", "Clara works as a nurse."),
        ("Where is the red lamp?", "The red lamp is in the kitchen."),
        ("What does Oscar like?", "Oscar likes honey."),
        ("How much does the boat cost?", "The boat costs 42 coins."),
        ("Where is the blue lamp?", contexts.REFUSAL),
    ],
)
def test_fact_sheet_is_known(engine: Generator, opening: str, question: str, answer: str) -> None:
    """What the demonstration asks, and what it might."""
    assert ask(engine, f"{opening.format(FACT_SHEET)}Question: {question}") == answer


def test_chat_remembers_what_was_said(engine: Generator) -> None:
    """A name told early is known later, behind a system message."""
    told = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "My name is Clara."},
        {"role": "assistant", "content": "Nice to meet you, Clara."},
        {"role": "user", "content": "What is my name?"},
    ]
    assert measure.ask(engine, engine.chat(told)) == "Your name is Clara."


def test_small_talk_repetition_and_summary(engine: Generator) -> None:
    """What else it was trained to do, once each."""
    assert ask(engine, "Hi, who are you?") == chats.WHO_AM_I
    assert ask(engine, "Repeat: Zorbelan 42 lamp") == "Zorbelan 42 lamp"
    told = "Clara works as a nurse. Clara lives in Velmar. Clara likes honey."
    assert ask(engine, f"Summarise in one sentence: {told}") == "Clara is a nurse who lives in Velmar."


def test_held_out_names_are_never_trained_on() -> None:
    """A name belongs to one part or to the other, whoever draws it."""
    chance = random.Random(1)
    assert not any(names.is_held_out(names.name(chance)) for _ in range(500))
    assert all(names.is_held_out(names.name(chance, held_out=True)) for _ in range(100))
