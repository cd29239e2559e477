"""What of a model's answer is kept, of one that does as told."""

import pytest

from tasks.summaries.keeping import kept
from tasks.summaries.manner import Manner
from tasks.summaries.prompts import Purpose

RECIPE = (
    "Receta de la abuela. Mezclar 3 huevos con 200 gramos de harina y un poco de sal. Dejar reposar la masa una hora en"
    " un lugar fresco de la cocina. Freír las tortas en aceite muy caliente hasta que se doren."
)
LEASE = (
    "The committee voted for the offer of 52,500 euros. Rents on Elm Street will not be raised before January. Ruiz"
    " asked that tenants be told of the scaffolding. Please write at most 3 sentences to the office, and add a summary."
)
WHOLE = Purpose("whole", last=True)


def said(answer: str, text: str = LEASE, purpose: Purpose = WHOLE, **manner: str | int) -> str:
    return kept(answer, Manner(**manner), purpose, [text], 2048, finished=True, told=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "echo",
    ["Write at most 3 sentences by plain prose.", "Write at most.", "Write is the summary.", "The summary is below."],
)
@pytest.mark.parametrize("text", [RECIPE, LEASE])
@pytest.mark.parametrize("purpose", [WHOLE, Purpose("part", last=False), Purpose("documents", last=True)])
def test_prompt_said_back_is_no_summary(echo: str, text: str, purpose: Purpose) -> None:
    """The text's own sentences stand in for it, also where the text has some of its words."""
    found = said(echo, text, purpose)
    assert echo not in found
    assert found.split(". ")[0] in text


def test_what_bears_on_the_text_is_kept_in_other_words() -> None:
    """The rest is left out."""
    ours = "The committee accepted an offer over 52,500 euros. Rents stay as they are until January."
    assert said(ours) == ours
    assert said(f"Write at most 3 sentences by plain prose. {ours} The ship sails to Jupiter at dawn.") == ours
    points = said("- The committee accepted an offer.\n- The ship sails to Jupiter.", style="bullets")
    assert points == "- The committee accepted an offer."


def test_what_stands_in_the_text_is_no_echo() -> None:
    own = "Please write at most 3 sentences to the office, and add a summary."
    assert said(own) == own


@pytest.mark.parametrize("asked", [{"language": "German"}, {"instruction": "Say whether the offer is taken."}])
def test_of_what_was_asked_for_only_the_echo_is_refused(asked: dict[str, str]) -> None:
    """It isn't in the text: nothing of that stands in for it."""
    assert said("Das Schiff fährt am Morgen.", **asked) == "Das Schiff fährt am Morgen."
    echo = (
        "Write about 88 words, and do as follows." if "instruction" in asked else "Write at most 3 sentences by prose."
    )
    assert said(echo, **asked) == ""
    assert said("The offer is taken.", **asked) == "The offer is taken."
    order = "Say whether the offer is taken."
    assert said(order, instruction=order) == ""
