"""`embed`: a vector of length 1 for each of some texts."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from db import vectors as vectors_table
from tasks.jobs import stages
from tasks.jobs.requests import Plan, Stored, Submission
from tasks.jobs.view import JobView
from tasks.keys import Caller
from tasks.kinds.kind import Kind
from tasks.models import choosing
from tasks.models.catalog import Catalog, Role

_FEW_TEXTS = 16  # one batch of an engine's


@dataclass(frozen=True, slots=True)
class Embedding:
    """Texts to embed, in order; one may be given by its token ids.

    `role` says what they are, for a model that wants to be told; without it they are embedded as they stand.
    """

    texts: tuple[str | tuple[int, ...], ...]
    role: Role | None = None

    def to_json(self) -> Stored:
        texts = [text if isinstance(text, str) else list(text) for text in self.texts]
        return Stored({"texts": texts, **({"role": self.role} if self.role else {})}, {})


class EmbedKind(Kind[Embedding]):
    name = "embed"
    serves = "embed"

    def parse(self, stored: Stored) -> Embedding:
        texts = tuple(text if isinstance(text, str) else tuple(text) for text in stored.input["texts"])
        return Embedding(texts, stored.input.get("role"))

    def plan(self, session: Session, models: Catalog, caller: Caller, asked: Submission[Embedding]) -> Plan:
        del session, caller
        model, texts = choosing.model_for(models, self.serves, asked.model), asked.request.texts
        if not all(isinstance(text, str) for text in texts):
            choosing.refuse_what_it_lacks(model, ["input.prompt_ids"])
        for number, text in enumerate(texts):
            if not isinstance(text, str):
                choosing.refuse_too_many_tokens(model, f"input.texts.{number}", len(text))
                continue
            choosing.refuse_what_cannot_fit(model, f"input.texts.{number}", text)
        stage = stages.EMBED if len(texts) <= _FEW_TEXTS else stages.EMBED_MANY
        return Plan(asked, stage, model.name, model.name)

    def whole(self, session: Session, job: JobView) -> Mapping[str, Any] | None:
        """The vectors themselves, (n, d); nothing before they are there."""
        if job.result is None:
            return None
        rows = vectors(session, job.id)
        return {"embeddings": rows, "dimensions": rows.shape[1]}


def vectors(session: Session, job_id: uuid.UUID) -> NDArray[np.float32]:
    """The vectors that a job has made, (n, d), of float32."""
    return vectors_table.load(session, job_id)
