"""What kinds of jobs there are, and the stages each goes through: every stage is a run on one model, or on none."""

from collections.abc import Mapping
from typing import Any

from tasks.models import catalog

GENERATE = "generate"  # on a model that writes
EMBED = "embed"  # a few texts, on a model that embeds
EMBED_MANY = "embed_many"  # and more of them
EXTRACT = "extract"  # text out of files, on the control worker
EMBED_DOCUMENTS = "embed_documents"  # cut into chunks, embedded, stored; on a model that embeds
RETRIEVE = "retrieve"  # the passages for a question, on a model that embeds

RAG = "rag"  # retrieve, then generate
INGEST = "ingest"  # extract where there are files, then embed_documents

# Stages that may hold a slot for minutes: some slots of a model are kept free of them for those that don't.
LONG = (EMBED_MANY, EMBED_DOCUMENTS)

JOB_TYPES = (*catalog.TYPES, RAG, INGEST)

_FEW_TEXTS = 16  # one batch of an engine's


def first(type: str, given: Mapping[str, Any]) -> str:
    """The first stage of a job of a type that a single model serves."""
    if type != "embed":
        return GENERATE
    return EMBED if len(given["texts"]) <= _FEW_TEXTS else EMBED_MANY
