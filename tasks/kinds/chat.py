"""`chat`: a conversation answered, put to the model by its chat template."""

from collections.abc import Sequence
from typing import Any

from tasks.kinds.generate import GenerateKind
from tasks.kinds.generation import Answer


class ChatKind(GenerateKind):
    name = "chat"
    serves = "chat"

    def result(self, answers: Sequence[Answer]) -> dict[str, Any]:
        message = {"role": "assistant", "content": answers[0].text}
        return {"message": message, "finish_reason": answers[0].finish_reason}
