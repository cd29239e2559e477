"""What a worker does for a part of a job: one file a stage, found by the stage's name."""

from collections.abc import Callable, Mapping

from tasks.jobs import stages
from tasks.jobs.outcomes import Onward, Outcome
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import embed, embed_documents, extract, gather, generate, rerank, retrieve, rewrite, spread

Stage = Callable[[Slot, Attempt, Publisher], Outcome | Onward]

STAGES: Mapping[str, Stage] = {
    stages.GENERATE: generate.generate,
    stages.EMBED: embed.embed,
    stages.EMBED_MANY: embed.embed,
    stages.RERANK: rerank.rerank,
    stages.RERANK_MANY: rerank.rerank,
    stages.EXTRACT: extract.extract,
    stages.EMBED_DOCUMENTS: embed_documents.embed_documents,
    stages.SPREAD: spread.spread,
    stages.GATHER: gather.gather,
    stages.REWRITE: rewrite.rewrite,
    stages.RETRIEVE: retrieve.retrieve,
}
