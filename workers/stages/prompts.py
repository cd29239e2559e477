"""What a job puts to the model that answers it."""

from tasks.documents import questions
from tasks.documents.questions import Passage
from tasks.jobs.attempts import Claim
from tasks.models.engine import Generator, Prompt


def compose(claim: Claim, engine: Generator) -> tuple[Prompt, list[Passage] | None]:
    """The prompt, and for a question over documents the passages in it: equal for every attempt.

    Raises what the engine raises for texts that it can't read.
    """
    given = claim.input
    if claim.type == "generate":
        return engine.prompt(str(given["prompt"])), None
    if claim.type == "chat":
        return engine.chat(given["messages"]), None

    def asked(content: str) -> Prompt:
        return engine.chat([{"role": "user", "content": content}])

    found = (claim.stage_input or {}).get("passages", [])
    budget = engine.context - questions.room(claim, engine.context)
    passages = questions.fitting(given["question"], found, lambda content: len(asked(content).ids), budget)
    return asked(questions.prompt(given["question"], passages)), passages
