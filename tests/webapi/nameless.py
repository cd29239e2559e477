"""The places of requests that name nothing which anyone has: the rest is tried in `test_isolation.py`."""

from dialects.openai.items import ITEM
from tests.webapi import page

QUERY = """
limit status type model since wait encoding_format from to group_by order metadata purpose include filter include[]
stream include_obfuscation
"""
JSON = """
type model lane priority metadata run_at expires_at max_queue_s deadline_s query top_k threshold neighbours
filter.type filter.key filter.value filter.filters
input.prompt input.messages.role input.messages.content.type input.messages.content.text
input.texts input.question input.top_k input.messages.content input.threshold
input.neighbours input.filter.type input.filter.key input.filter.value input.filter.filters
input.query input.documents.text input.top_n input.truncation input.rerank rerank
top_n truncation return_documents
params.max_tokens params.temperature params.top_p params.top_k params.min_p params.repetition_penalty params.stop
params.seed params.frequency_penalty params.presence_penalty input.suffix
documents.text documents.title documents.metadata documents.external_id chunk_tokens chunk_overlap
url events description disabled webhook.url webhook.events arguments
style instruction words sentences language combine dry_run texts.text texts.title texts.metadata
"""
# How an answer is drawn, in each dialect; what OpenAI's requests, Ollama's and Replicate's have beside that.
DRAWN = """
temperature top_p min_p seed stop frequency_penalty presence_penalty repetition_penalty max_tokens
options.temperature options.top_p options.top_k options.min_p options.seed options.stop options.frequency_penalty
options.presence_penalty options.repeat_penalty options.repeat_last_n options.num_predict options.num_ctx options.tfs_z
options.typical_p options.mirostat
input.temperature input.top_p input.min_p input.seed input.stop input.stop_sequences input.frequency_penalty
input.presence_penalty input.repetition_penalty input.length_penalty input.max_tokens input.max_new_tokens
input.min_tokens
"""
DIALECTS = """
prompt suffix echo best_of n logprobs top_logprobs logit_bias stream stream_options.include_usage
stream_options.include_obfuscation max_completion_tokens service_tier store user server_functions
messages.role messages.content messages.name messages.refusal messages.tool_call_id
messages.content.type messages.content.text messages.content.refusal
messages.tool_calls.id messages.tool_calls.type messages.tool_calls.function.name
messages.tool_calls.function.arguments messages.function_call.name messages.function_call.arguments
functions.name functions.description functions.parameters functions.strict function_call.name
tools.type tools.function.name tools.function.description tools.function.parameters tools.function.strict
tool_choice.type tool_choice.function.name tool_choice.allowed_tools.mode tool_choice.allowed_tools.tools
parallel_tool_calls response_format.type response_format.json_schema.name
response_format.json_schema.description response_format.json_schema.schema response_format.json_schema.strict
modalities prompt_cache_key prompt_cache_retention reasoning_effort safety_identifier verbosity
input input.type dimensions encoding_format
raw system template context images format think truncate keep_alive name verbose messages.images messages.tool_name
version webhook webhook_events_filter input.text input.system_prompt input.prompt_template
input.log_performance_metrics
texts num_context_docs
filename purpose bytes mime_type md5 expires_after.anchor expires_after.seconds
endpoint completion_window output_expires_after.anchor output_expires_after.seconds
"""
ANTHROPIC = """
stop_sequences tools.name tools.description tools.input_schema tool_choice.name tool_choice.disable_parallel_tool_use
system.type system.text output_config.format.type output_config.format.schema output_config.effort metadata.user_id
requests.custom_id requests.params thinking cache_control container inference_geo speed diagnostics
"""
# What OpenAI has and no model here: refused, or read and not heeded. A file's id names nothing in a chat.
ELSEWHERE = """
audio.format audio.voice.id messages.audio.id input.image_url.detail input.image_url.url
messages.content.file.file_data messages.content.file.file_id messages.content.file.filename
messages.content.image_url.detail messages.content.image_url.url messages.content.input_audio.data
messages.content.input_audio.format messages.content.prompt_cache_breakpoint.mode
messages.tool_calls.custom.input messages.tool_calls.custom.name tool_choice.custom.name
tools.custom.name tools.custom.description tools.custom.format.type tools.custom.format.grammar.definition
tools.custom.format.grammar.syntax moderation.model moderation.policy.input.mode moderation.policy.output.mode
prediction.type prediction.content.type prediction.content.text prediction.content.prompt_cache_breakpoint.mode
prompt_cache_options.mode prompt_cache_options.ttl web_search_options.search_context_size
web_search_options.user_location.type web_search_options.user_location.approximate.city
web_search_options.user_location.approximate.country web_search_options.user_location.approximate.region
web_search_options.user_location.approximate.timezone
"""
# OpenAI's responses. `input.call_id` names a call of the same conversation.
RESPONSES = """
personality
access_programs background background_options.completion_window background_options.continuation_id context_management
image include input.arguments input.call_id input.content.text input.content.type input.name
input.output.text input.output.type input.role input.status instructions max_output_tokens max_tool_calls
reasoning.context reasoning.effort reasoning.generate_summary reasoning.mode reasoning.summary text.format.description
text.format.name text.format.schema text.format.strict text.format.type text.verbosity tool_choice.mode tool_choice.name
tool_choice.tools tools.description tools.name tools.parameters tools.strict
"""
# OpenAI's vector stores.
STORES = """
attributes chunking_strategy.type chunking_strategy.static.max_chunk_size_tokens
chunking_strategy.static.chunk_overlap_tokens expires_after.days files.attributes files.chunking_strategy.type
files.chunking_strategy.static.max_chunk_size_tokens files.chunking_strategy.static.chunk_overlap_tokens
filters.type filters.key filters.value filters.filters max_num_results ranking_options.ranker
ranking_options.score_threshold ranking_options.hybrid_search.embedding_weight
ranking_options.hybrid_search.text_weight rewrite_query tools.max_num_results tools.filters tools.ranking_options
"""
FORM = """
file external_id external_ids replace chunk_tokens chunk_overlap charset
title metadata model lane priority webhook run_at expires_at max_queue_s deadline_s
style instruction words sentences language combine dry_run
data purpose expires_after.anchor expires_after.seconds
"""
# Items that a response is asked, or a conversation is given: their ids name each other.
ITEMS = {".".join(leaf) for room in ("input", "items") for leaf in page.leaves({}, ITEM, (room,))} - {"input.id"}
NAMELESS = {
    "header Prefer",
    "header Idempotency-Key",  # each tenant's own: test_idempotency.py
    *[f"?{name}" for name in QUERY.split()],
    *[
        f"header {name}"
        for name in ("Cancel-After", *(f"X-Forebay-{what}" for what in ("Lane", "Priority", "Deadline")))
    ],
    *[f"json {name}" for name in (JSON + DRAWN + DIALECTS + ANTHROPIC + ELSEWHERE + RESPONSES + STORES).split()],
    *[f"json {name}" for name in ITEMS],
    *[f"form {name}" for name in FORM.split()],
}
