"""What a job puts to the model that answers it."""

from tasks.documents import questions
from tasks.documents.questions import Passage
from tasks.engine import Engine
from tasks.jobs import Claim


def compose(claim: Claim, engine: Engine) -> tuple[str, list[Passage] | None]:
    """The prompt, and for a question over documents the passages in it. The same for every attempt."""
    given = claim.input
    if claim.type == "generate":
        return str(given["prompt"]), None
    if claim.type == "chat":
        return engine.render(given["messages"]), None

    def asked(content: str) -> str:
        return engine.render([{"role": "user", "content": content}])

    found = (claim.handed or {}).get("passages", [])
    budget = engine.context - questions.room(claim, engine.context)
    passages = questions.fitting(given["question"], found, lambda content: engine.count_tokens(asked(content)), budget)
    return asked(questions.prompt(given["question"], passages)), passages
