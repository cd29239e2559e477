"""What requests of the dialects have that names nothing which anyone has, by their places on the page."""

OPENAI = """
temperature top_p min_p repetition_penalty frequency_penalty presence_penalty seed stop logit_bias n stream
stream_options.include_usage stream_options.include_obfuscation service_tier user messages.role
messages.content.type messages.content.text messages.content.prompt_cache_breakpoint.mode messages.content.refusal
messages.content.image_url.url messages.content.image_url.detail messages.content.input_audio.data
messages.content.input_audio.format messages.content.file.filename messages.content.file.file_data
messages.content.file.file_id messages.name messages.refusal messages.tool_calls.id messages.tool_calls.type
messages.tool_calls.function.name messages.tool_calls.function.arguments messages.tool_calls.custom.name
messages.tool_calls.custom.input messages.tool_call_id messages.function_call.name messages.function_call.arguments
messages.audio.id max_completion_tokens max_tokens logprobs top_logprobs response_format.type
response_format.json_schema.name response_format.json_schema.description response_format.json_schema.schema
response_format.json_schema.strict tools.type tools.function.name tools.function.description
tools.function.parameters tools.function.strict tools.custom.name tools.custom.description tools.custom.format.type
tools.custom.format.grammar.definition tools.custom.format.grammar.syntax tool_choice.type tool_choice.function.name
tool_choice.allowed_tools.mode tool_choice.allowed_tools.tools tool_choice.custom.name parallel_tool_calls
functions.name functions.description functions.parameters functions.strict function_call.name server_functions store
modalities audio.voice.id audio.format web_search_options.user_location.type
web_search_options.user_location.approximate.country web_search_options.user_location.approximate.region
web_search_options.user_location.approximate.city web_search_options.user_location.approximate.timezone
web_search_options.search_context_size moderation.model moderation.policy.input.mode moderation.policy.output.mode
reasoning_effort verbosity prediction.type prediction.content.type prediction.content.text
prediction.content.prompt_cache_breakpoint.mode prompt_cache_key prompt_cache_retention prompt_cache_options.mode
prompt_cache_options.ttl safety_identifier prompt best_of echo suffix input encoding_format dimensions input.type
input.text input.image_url.url input.image_url.detail
"""

PLAIN = """
texts num_context_docs
"""

OLLAMA = """
options.temperature options.top_p options.top_k options.min_p options.repeat_penalty options.repeat_last_n
options.frequency_penalty options.presence_penalty options.seed options.stop options.num_predict options.num_ctx
options.tfs_z options.typical_p options.mirostat keep_alive format think system raw images template context
messages.content messages.images messages.tool_name truncate name verbose
"""

REPLICATE = """
input.system_prompt input.prompt_template input.max_tokens input.max_new_tokens input.temperature input.top_p
input.min_p input.repetition_penalty input.frequency_penalty input.presence_penalty input.seed input.stop
input.stop_sequences input.min_tokens input.length_penalty input.log_performance_metrics webhook
webhook_events_filter version
"""

JSON = tuple(name for told in (OPENAI, PLAIN, OLLAMA, REPLICATE) for name in told.split())
