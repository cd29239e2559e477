"""What items and tools of OpenAI's have that nobody here has, as its clients write it: refused by the item's type, or
the tool's. Described, so that this can be seen on the page; members that several of them have stand there once."""

from collections.abc import Mapping
from typing import Any

from dialects.openai.requests.elsewhere import UNHEEDED

Described = dict[str, Any]

REFUSED = "Refused: nobody here has such a tool."

_TEXT: Described = {"type": "string"}
_WHOLE: Described = {"type": "integer"}
_REAL: Described = {"type": "number"}
_FLAG: Described = {"type": "boolean"}
_ANY_OBJECT: Described = {"type": "object"}


def _object(**members: Described) -> Described:
    return {"type": "object", "properties": members}


def _list(each: Described) -> Described:
    return {"type": "array", "items": each}


def _one_of(*values: str) -> Described:
    return {"type": "string", "enum": list(values)}


def _or_null(schema: Described) -> Described:
    nullable = schema | {"type": [schema["type"], "null"]}
    return nullable | {"enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _either(*schemas: Described) -> Described:
    return {"anyOf": list(schemas)}


_NULL: Described = {"type": "null"}
_TEXTS = _list(_TEXT)
_TEXT_OR_NULL = _or_null(_TEXT)
_DETAIL = _one_of("low", "high", "auto", "original")
BREAKPOINT = _or_null(_object(mode=_one_of("explicit"))) | {"description": UNHEEDED}

# Members of a message's parts which aren't text.
SEEN: Mapping[str, Described] = {
    "image_url": _TEXT_OR_NULL,
    "file_id": _TEXT_OR_NULL,
    "detail": _or_null(_DETAIL),
    "filename": _TEXT_OR_NULL,
    "file_data": _TEXT_OR_NULL,
    "file_url": _TEXT_OR_NULL,
}

_LIKELY = {"token": _TEXT, "logprob": _REAL, "bytes": _list(_WHOLE)}
# Members of what a model said, as it is given back: read and not heeded.
_SAID: Mapping[str, Described] = {
    "annotations": _list(
        _object(
            type=_one_of("file_citation", "url_citation", "container_file_citation", "file_path"),
            file_id=_TEXT,
            index=_WHOLE,
            filename=_TEXT,
            url=_TEXT,
            start_index=_WHOLE,
            end_index=_WHOLE,
            title=_TEXT,
            container_id=_TEXT,
        )
    ),
    "logprobs": _list(_object(**_LIKELY, top_logprobs=_list(_object(**_LIKELY)))),
}
SAID: Mapping[str, Described] = {name: schema | {"description": UNHEEDED} for name, schema in _SAID.items()}
SUMMARY = _object(type=_one_of("summary_text"), text=_TEXT)
FOUND = _object(file_id=_TEXT, text=_TEXT, filename=_TEXT, attributes=_or_null(_ANY_OBJECT), score=_REAL)

_CALLERS = _or_null(_list(_one_of("direct", "programmatic")))
_FORMAT = _object(type=_one_of("text", "grammar"), syntax=_one_of("lark", "regex"), definition=_TEXT)
_FUNCTION: Mapping[str, Described] = {
    "name": _TEXT,
    "description": _TEXT_OR_NULL,
    "parameters": _or_null(_ANY_OBJECT),
    "output_schema": _or_null(_ANY_OBJECT),
    "strict": _or_null(_FLAG),
    "defer_loading": _FLAG,
    "allowed_callers": _CALLERS,
    "format": _FORMAT,
}
_SECRET = _object(domain=_TEXT, name=_TEXT, value=_TEXT)
_NETWORK = _object(type=_one_of("disabled", "allowlist"), allowed_domains=_TEXTS, domain_secrets=_list(_SECRET))
_MEMORY = _or_null(_one_of("1g", "4g", "16g", "64g"))
_SKILL = _object(
    type=_one_of("skill_reference", "inline"),
    skill_id=_TEXT,
    version=_TEXT,
    name=_TEXT,
    description=_TEXT,
    path=_TEXT,
    source=_object(type=_one_of("base64"), media_type=_one_of("application/zip"), data=_TEXT),
)
_WHICH = _object(tool_names=_TEXTS, read_only=_FLAG)
_COMPARED: Described = {
    "type": _one_of("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"),
    "key": _TEXT,
    "value": _either(_TEXT, _REAL, _FLAG, _list(_either(_TEXT, _REAL))),
}

# Members of tools that aren't functions, and of functions those that none of ours has.
TOOL: Mapping[str, Described] = {
    **_FUNCTION,
    "vector_store_ids": _TEXTS,
    "max_num_results": _WHOLE,
    "ranking_options": _object(
        ranker=_one_of("auto", "default-2024-11-15"),
        score_threshold=_REAL,
        hybrid_search=_object(embedding_weight=_REAL, text_weight=_REAL),
    ),
    "filters": _or_null(
        _object(
            **_COMPARED | {"type": _one_of("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "and", "or")},
            filters=_list(_object(**_COMPARED)),
            allowed_domains=_or_null(_TEXTS),
        )
    ),
    "environment": _either(
        _one_of("windows", "mac", "linux", "ubuntu", "browser"),
        _object(
            type=_one_of("container_auto", "container_reference", "local"),
            file_ids=_TEXTS,
            memory_limit=_MEMORY,
            network_policy=_NETWORK,
            skills=_list(_SKILL),
            container_id=_TEXT,
        ),
        _NULL,
    ),
    "display_width": _WHOLE,
    "display_height": _WHOLE,
    "external_web_access": _FLAG,
    "user_location": _or_null(
        _object(
            type=_one_of("approximate"),
            country=_TEXT_OR_NULL,
            region=_TEXT_OR_NULL,
            city=_TEXT_OR_NULL,
            timezone=_TEXT_OR_NULL,
        )
    ),
    "search_context_size": _one_of("low", "medium", "high"),
    "search_content_types": _list(_one_of("text", "image")),
    "server_label": _TEXT,
    "server_url": _TEXT,
    "connector_id": _one_of(
        *(
            f"connector_{service}"
            for service in (
                "dropbox",
                "gmail",
                "googlecalendar",
                "googledrive",
                "microsoftteams",
                "outlookcalendar",
                "outlookemail",
                "sharepoint",
            )
        )
    ),
    "tunnel_id": _TEXT,
    "authorization": _TEXT,
    "server_description": _TEXT,
    "headers": _or_null(_ANY_OBJECT),
    "allowed_tools": _either(_TEXTS, _WHICH, _NULL),
    "require_approval": _either(_object(always=_WHICH, never=_WHICH), _one_of("always", "never"), _NULL),
    "container": _either(
        _TEXT, _object(type=_one_of("auto"), file_ids=_TEXTS, memory_limit=_MEMORY, network_policy=_NETWORK)
    ),
    "model": _TEXT,
    "quality": _one_of("low", "medium", "high", "auto"),
    "size": _TEXT,
    "output_format": _one_of("png", "webp", "jpeg"),
    "output_compression": _WHOLE,
    "moderation": _one_of("auto", "low"),
    "background": _one_of("transparent", "opaque", "auto"),
    "input_fidelity": _or_null(_one_of("high", "low")),
    "input_image_mask": _object(image_url=_TEXT, file_id=_TEXT),
    "partial_images": _WHOLE,
    "action": _one_of("generate", "edit", "auto"),
    "tools": _list(_object(type=_one_of("function", "custom"), **_FUNCTION)),
    "execution": _one_of("server", "client"),
}
TOOL_TYPES = (
    "function",
    "file_search",
    "computer",
    "computer_use_preview",
    "web_search",
    "web_search_2025_08_26",
    "mcp",
    "code_interpreter",
    "programmatic_tool_calling",
    "image_generation",
    "local_shell",
    "shell",
    "custom",
    "namespace",
    "tool_search",
    "web_search_preview",
    "web_search_preview_2025_03_11",
    "apply_patch",
)

TOOLS = _object(type=_one_of(*TOOL_TYPES), **TOOL, input_schema=_ANY_OBJECT, annotations=_or_null(_ANY_OBJECT))

# What a response tells again of its request.
CHOICE: Described = {
    "anyOf": [
        _one_of("none", "auto", "required"),
        _object(
            type=_one_of("function", "allowed_tools", "file_search"),
            mode=_one_of("auto", "required"),
            tools=_list(_ANY_OBJECT),
            name=_TEXT,
            server_label=_TEXT,
        ),
    ]
}
REASONING: Mapping[str, Described] = {
    "effort": _or_null(_one_of("none")),
    "summary": _or_null(_one_of("auto", "concise", "detailed")),
    "generate_summary": _or_null(_one_of("auto", "concise", "detailed")),
    "context": _or_null(_TEXT),
    "mode": _or_null(_TEXT),
}
TEXT: Mapping[str, Described] = {
    "format": _object(
        type=_one_of("text", "json_object", "json_schema"),
        name=_TEXT,
        description=_TEXT_OR_NULL,
        schema=_ANY_OBJECT,
        strict=_or_null(_FLAG),
    ),
    "verbosity": _or_null(_one_of("medium")),
}

_POINT = _object(x=_WHOLE, y=_WHOLE)
_SCREEN: Mapping[str, Described] = {
    "button": _one_of("left", "right", "wheel", "back", "forward"),
    "x": _WHOLE,
    "y": _WHOLE,
    "keys": _or_null(_TEXTS),
    "path": _list(_POINT),
    "scroll_x": _WHOLE,
    "scroll_y": _WHOLE,
    "text": _TEXT,
}
_ON_SCREEN = ("click", "double_click", "drag", "keypress", "move", "screenshot", "scroll", "type", "wait")
_CHECKS = _list(_object(id=_TEXT, code=_TEXT_OR_NULL, message=_TEXT_OR_NULL))

# The types of items that nobody here has, and their members.
ITEM_TYPES = (
    "additional_tools",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
)
STATUSES = ("calling", "failed", "generating", "interpreting", "searching")
OUTPUT_PART: Mapping[str, Described] = {
    **SEEN,
    "stdout": _TEXT,
    "stderr": _TEXT,
    "outcome": _object(type=_one_of("exit", "timeout"), exit_code=_WHOLE),
}
SCREEN = _object(type=_one_of("computer_screenshot"), image_url=_TEXT, file_id=_TEXT)
_ITEM: Mapping[str, Described] = {
    "action": _object(
        type=_one_of(*_ON_SCREEN, "search", "open_page", "find_in_page", "exec"),
        **_SCREEN,
        query=_TEXT,
        queries=_TEXTS,
        sources=_list(_object(type=_one_of("url"), url=_TEXT)),
        url=_TEXT_OR_NULL,
        pattern=_TEXT,
        command=_TEXTS,
        commands=_TEXTS,
        timeout_ms=_or_null(_WHOLE),
        max_output_length=_or_null(_WHOLE),
        working_directory=_TEXT_OR_NULL,
        env=_ANY_OBJECT,
        user=_TEXT_OR_NULL,
    ),
    "actions": _list(_object(type=_one_of(*_ON_SCREEN), **_SCREEN)),
    "pending_safety_checks": _CHECKS,
    "acknowledged_safety_checks": _or_null(_CHECKS),
    "caller": _or_null(_object(type=_one_of("direct", "program"), caller_id=_TEXT)),
    "namespace": _TEXT_OR_NULL,
    "execution": _one_of("client", "server"),
    "tools": _list(TOOLS),
    "result": _TEXT_OR_NULL,
    "container_id": _TEXT,
    "code": _TEXT_OR_NULL,
    "outputs": _or_null(_list(_object(type=_one_of("image", "logs"), logs=_TEXT, url=_TEXT))),
    "environment": _or_null(
        _object(type=_one_of("container_reference", "local"), skills=_list(_SKILL), container_id=_TEXT)
    ),
    "max_output_length": _or_null(_WHOLE),
    "operation": _object(type=_one_of("create_file", "delete_file", "update_file"), path=_TEXT, diff=_TEXT),
    "server_label": _TEXT,
    "error": _either(
        _TEXT,
        _object(
            type=_one_of("http_error", "mcp_protocol_error", "mcp_tool_execution_error"),
            code=_WHOLE,
            message=_TEXT,
            content={},
        ),
        _NULL,
    ),
    "approval_request_id": _TEXT_OR_NULL,
    "approve": _FLAG,
    "reason": _TEXT_OR_NULL,
    "input": _TEXT,
    "fingerprint": _TEXT,
}
ITEM: Mapping[str, Described] = {name: schema | {"description": REFUSED} for name, schema in _ITEM.items()}
