"""What a worker does for a part of a job: one file a stage, found by the stage's name."""

from collections.abc import Callable, Mapping

from tasks.jobs import stages
from tasks.jobs.outcomes import Onward, Outcome
from workers.attempt import Attempt
from workers.publisher import Publisher
from workers.slot import Slot
from workers.stages import (
    batch_lines,
    check_lines,
    count,
    embed,
    embed_documents,
    extract,
    gather,
    gather_lines,
    generate,
    reembed,
    rerank,
    retrieve,
    rewrite,
    search_stores,
    share_out,
    spread,
    summarize,
    summarize_part,
    survey_lines,
    tally,
    write_lines,
)

Stage = Callable[[Slot, Attempt, Publisher], Outcome | Onward]

STAGES: Mapping[str, Stage] = {
    stages.GENERATE: generate.generate,
    stages.COUNT: count.count,
    stages.EMBED: embed.embed,
    stages.EMBED_MANY: embed.embed,
    stages.RERANK: rerank.rerank,
    stages.RERANK_MANY: rerank.rerank,
    stages.RERANK_PASSAGES: rerank.rerank_passages,
    stages.EXTRACT: extract.extract,
    stages.EMBED_DOCUMENTS: embed_documents.embed_documents,
    stages.REEMBED: reembed.reembed,
    stages.SPREAD: spread.spread,
    stages.GATHER: gather.gather,
    stages.REWRITE: rewrite.rewrite,
    stages.RETRIEVE: retrieve.retrieve,
    stages.SEARCH_STORES: search_stores.search_stores,
    stages.SHARE_OUT: share_out.share_out,
    stages.SUMMARIZE: summarize.summarize,
    stages.SUMMARIZE_PART: summarize_part.summarize_part,
    stages.TALLY: tally.tally,
    stages.CHECK_LINES: batch_lines.bearing(check_lines.check_lines),
    stages.SURVEY_LINES: survey_lines.survey_lines,
    stages.WRITE_LINES: batch_lines.bearing(write_lines.write_lines),
    stages.GATHER_LINES: batch_lines.bearing(gather_lines.gather_lines),
}
