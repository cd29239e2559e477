"""The stages that jobs go through: each is a run on one model, or on none."""

GENERATE = "generate"  # on a model that writes
COUNT = "count"  # how long a prompt is, on a model that writes
EMBED = "embed"  # a few texts, on a model that embeds
EMBED_MANY = "embed_many"  # and more of them
RERANK = "rerank"  # a few documents, on a model that reads each with a query
RERANK_MANY = "rerank_many"  # and more of them
RERANK_PASSAGES = "rerank_passages"  # those that were found for a question, by such a model
EXTRACT = "extract"  # text out of files, on the control worker
EMBED_DOCUMENTS = "embed_documents"  # cut into chunks, embedded, stored; on a model that embeds
REEMBED = "reembed"  # a collection's chunks embedded by another model, which then takes the place of its own
SPREAD = "spread"  # a request for several answers made into a job for each, on the control worker
GATHER = "gather"  # and their answers put together
REWRITE = "rewrite"  # a follow-up made a question of its own, on the model that answers it
RETRIEVE = "retrieve"  # the passages for a question, on a model that embeds
SEARCH_STORES = "search_stores"  # the passages for a response, in vector stores, on the models that embed
SHARE_OUT = "share_out"  # documents to be summarised read, and a job made for each, on the control worker
SUMMARIZE = "summarize"  # a summary made of a document's parts or of other summaries, on a model that writes
SUMMARIZE_PART = "summarize_part"  # one step of that
TALLY = "tally"  # what became of the documents to be summarised, on the control worker
CHECK_LINES = "check_lines"  # a batch's file read, and every line of it found to be right, on the control worker
SURVEY_LINES = "survey_lines"  # read too, but only to tell what they come to
WRITE_LINES = "write_lines"  # a job made for each line
GATHER_LINES = "gather_lines"  # what they came to written into files

# Stages that may hold a slot for minutes: some slots of a model are kept free of them for those that don't.
_OF_FILES = (CHECK_LINES, SURVEY_LINES, WRITE_LINES, GATHER_LINES)  # they wait there for their turns with one another
LONG = (EMBED_MANY, RERANK_MANY, EMBED_DOCUMENTS, REEMBED, *_OF_FILES)
