"""What kinds of jobs there are, one file each."""

from typing import Any

from sqlalchemy.orm import Session

from tasks.jobs.requests import Plan, Submission
from tasks.keys import Caller
from tasks.kinds.batch import BatchKind
from tasks.kinds.batch_check import BatchCheckKind
from tasks.kinds.chat import ChatKind
from tasks.kinds.compact import CompactKind
from tasks.kinds.count import CountChatKind, CountKind
from tasks.kinds.embed import EmbedKind
from tasks.kinds.generate import GenerateKind
from tasks.kinds.ingest import IngestKind
from tasks.kinds.kind import Kind
from tasks.kinds.moderate import ModerateKind
from tasks.kinds.rag import RagKind
from tasks.kinds.reembed import ReembedKind
from tasks.kinds.rerank import RerankKind
from tasks.kinds.response import ResponseKind
from tasks.kinds.summary import SummaryKind
from tasks.models.catalog import Catalog

_ALL: tuple[Kind[Any], ...] = (
    GenerateKind(),
    ChatKind(),
    EmbedKind(),
    RerankKind(),
    RagKind(),
    IngestKind(),
    ReembedKind(),
    ModerateKind(),
    SummaryKind(),
    BatchKind(),
    BatchCheckKind(),
    ResponseKind(),
    CountKind(),
    CountChatKind(),
    CompactKind(),
)
KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in _ALL}


def plan(session: Session, models: Catalog, caller: Caller, asked: Submission[Any]) -> Plan:
    """The plan of a job, by its kind."""
    return KINDS[asked.type].plan(session, models, caller, asked)
