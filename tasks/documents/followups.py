"""Follow-ups: a question that needs the conversation before it, made one that can be understood without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.documents import questions, terms
from tasks.documents.questions import Example

MAX_TOKENS = 64  # of a question of its own
_LONGEST = 400  # characters of it
_MOST_CHARACTERS = 600  # of the conversation that is searched for where no question came of it
_KNOWN = 0.5  # so much of what it says must be in the conversation


@dataclass(frozen=True, slots=True)
class Said:
    """A turn of the conversation before the question; `role` is `user` or `assistant`."""

    role: str
    text: str


def prompt(history: Sequence[Said], question: str) -> str:
    """What is put to a model that is to make the question one of its own."""
    lines = (f"{said.role.capitalize()}: {' '.join(said.text.split())}" for said in history)
    return questions.template("follow_up").format(conversation="\n".join(lines), question=question)


def examples() -> tuple[Example, ...]:
    """Follow-ups that were made questions, for a model that wasn't trained to do what it is told."""
    return questions.examples("follow_up")


def fitting(history: Sequence[Said], question: str, measure: Callable[[str], int], budget: int) -> list[Said]:
    """The newest turns whose prompt has at most `budget` tokens by `measure`."""
    kept = questions.most(len(history), lambda count: measure(prompt(history[-count:], question)) <= budget)
    return list(history[len(history) - kept :])


def accepted(made: str, history: Sequence[Said], question: str) -> str | None:
    """What a model made of the follow-up, if it can be that question.

    It isn't where it is empty or long, says what neither the question nor the conversation does, or none of what the
    question says.
    """
    made = " ".join(made.split()).strip('"“”')
    if not made or len(made) > _LONGEST or questions.refuses(made):
        return None
    asked, known = terms.of(question, parts=True), terms.of(_joined(history, question), parts=True)
    says = terms.of(made)
    if not len(says) or says.codes - known.codes or asked.codes - terms.of(made, parts=True).codes:
        return None
    if len(says.words & known.words) < _KNOWN * len(says.words):
        return None
    if len(asked) and not (says.words & asked.words or says.codes & asked.codes):
        return None
    return made


def together(history: Sequence[Said], question: str) -> str:
    """The question after what was said last: what is searched for where no question of its own could be made."""
    recent = _joined(history, "")[-_MOST_CHARACTERS:]
    # From a whole word on.
    said = recent if len(recent) < _MOST_CHARACTERS else recent.partition(" ")[2]
    return f"{said} {question}".strip()


def _joined(history: Sequence[Said], question: str) -> str:
    return " ".join((*(said.text for said in history), question)).strip()
