"""`chat`: a conversation answered, put to the model by its chat template."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tasks.kinds.generate import GenerateKind
from tasks.kinds.generation import Answer


class ChatKind(GenerateKind):
    name = "chat"
    serves = "chat"

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        [answer] = answers
        return said(answer)


def said(answer: Answer) -> dict[str, Any]:
    """What an assistant says in a conversation, as a job's result has it."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.tool_calls:
        message["tool_calls"] = [asdict(call) for call in answer.tool_calls]
    return {"message": message, **answer.ending()}
