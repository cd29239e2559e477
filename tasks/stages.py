"""What kinds of jobs there are, and the stages each goes through: every stage is a run on one model, or on none."""

from tasks import catalog

GENERATE = "generate"  # on a model that writes
EMBED = "embed"  # on a model that embeds
EXTRACT = "extract"  # text out of files, on the control worker
EMBED_DOCUMENTS = "embed_documents"  # cut into chunks, embedded, stored; on a model that embeds
RETRIEVE = "retrieve"  # the passages for a question, on a model that embeds

RAG = "rag"  # retrieve, then generate
INGEST = "ingest"  # extract where there are files, then embed_documents

JOB_TYPES = (*catalog.TYPES, RAG, INGEST)

# The first stage of the types that a single model serves.
FIRST = {"generate": GENERATE, "chat": GENERATE, "embed": EMBED}
