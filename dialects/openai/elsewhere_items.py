"""Items that OpenAI's own service may answer and this one never does: what is left by tools that nobody has here.

They are described, so that a client made from our page reads either; several of a kind in one, whose members some of
them have.
"""

from typing import Annotated, Any, Literal, TypedDict

from dialects.openai.requests.elsewhere_items import TOOLS

Caller = Literal["direct", "programmatic"]
_State = Literal["in_progress", "completed", "incomplete"]


class CacheMark(TypedDict):
    """Up to where a prompt is kept for the next."""

    mode: Literal["explicit"]


class SeenPart(TypedDict, total=False):
    """A picture, a screen, or a file: models here read text."""

    type: Literal["input_image", "computer_screenshot", "input_file"]
    detail: Literal["low", "high", "auto", "original"]
    image_url: str | None
    file_id: str | None
    filename: str
    file_data: str
    file_url: str
    prompt_cache_breakpoint: CacheMark


class OtherCitation(TypedDict, total=False):
    """A page of the web, or a file of a container."""

    type: Literal["url_citation", "container_file_citation", "file_path"]
    url: str
    title: str
    start_index: int
    end_index: int
    container_id: str
    file_id: str
    filename: str
    index: int


class CalledBy(TypedDict, total=False):
    """Who called a tool: the model, or a program of its own."""

    type: Literal["direct", "program"]
    caller_id: str


class Point(TypedDict):
    x: int
    y: int


class Source(TypedDict):
    type: Literal["url"]
    url: str


class ScreenAction(TypedDict, total=False):
    """What is done with a screen."""

    type: Literal["click", "double_click", "drag", "keypress", "move", "screenshot", "scroll", "type", "wait"]
    button: Literal["left", "right", "wheel", "back", "forward"]
    x: int
    y: int
    scroll_x: int
    scroll_y: int
    path: list[Point]
    keys: list[str] | None
    text: str


class OtherAction(TypedDict, total=False):
    """What a tool does: with a screen, on the web, or in a shell."""

    type: Literal[
        "click", "double_click", "drag", "keypress", "move", "screenshot", "scroll", "type", "wait", "search",
        "open_page", "find_in_page", "exec",
    ]  # fmt: skip
    button: Literal["left", "right", "wheel", "back", "forward"]
    x: int
    y: int
    scroll_x: int
    scroll_y: int
    path: list[Point]
    keys: list[str] | None
    text: str
    query: str
    queries: list[str]
    sources: list[Source]
    url: str | None
    pattern: str
    command: list[str]
    commands: list[str]
    timeout_ms: int | None
    max_output_length: int | None
    working_directory: str | None
    env: dict[str, Any]
    user: str | None


class SafetyCheck(TypedDict, total=False):
    id: str
    code: str | None
    message: str | None


class ShellEnd(TypedDict, total=False):
    type: Literal["timeout", "exit"]
    exit_code: int


class ScreenOutput(TypedDict, total=False):
    type: Literal["computer_screenshot"]
    image_url: str
    file_id: str


class OtherOutput(TypedDict, total=False):
    """What a tool gave: what a shell wrote, texts and pictures."""

    type: Literal["input_text", "input_image", "input_file"]
    detail: Literal["low", "high", "auto", "original"]
    text: str
    image_url: str | None
    file_id: str | None
    filename: str
    file_data: str
    file_url: str
    prompt_cache_breakpoint: CacheMark
    stdout: str
    stderr: str
    outcome: ShellEnd
    created_by: str


class CodeOutput(TypedDict, total=False):
    type: Literal["logs", "image"]
    logs: str
    url: str


class ShellPlace(TypedDict, total=False):
    type: Literal["local", "container_reference"]
    container_id: str


class Patch(TypedDict, total=False):
    type: Literal["create_file", "delete_file", "update_file"]
    path: str
    diff: str


class RemoteError(TypedDict, total=False):
    type: Literal["mcp_protocol_error", "mcp_tool_execution_error", "http_error"]
    code: int
    message: str
    content: Any


class OtherItem(TypedDict, total=False):
    """What a tool of OpenAI's leaves in a conversation. Never there: nobody here has such a tool."""

    type: Literal[
        "web_search_call", "image_generation_call", "computer_call", "computer_call_output", "tool_search_call",
        "tool_search_output", "additional_tools", "program", "program_output", "code_interpreter_call",
        "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call",
        "apply_patch_call_output", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call",
        "custom_tool_call", "custom_tool_call_output",
    ]  # fmt: skip
    id: str
    status: Literal["in_progress", "completed", "incomplete", "searching", "generating", "interpreting", "failed"]
    call_id: str | None
    caller: CalledBy | None
    created_by: str
    namespace: str
    name: str
    arguments: Any
    input: str
    action: OtherAction
    actions: list[ScreenAction]
    operation: Patch
    pending_safety_checks: list[SafetyCheck]
    acknowledged_safety_checks: list[SafetyCheck]
    output: str | list[OtherOutput] | ScreenOutput | None
    outputs: list[CodeOutput] | None
    result: str | None
    max_output_length: int | None
    environment: ShellPlace | None
    container_id: str
    code: str | None
    fingerprint: str
    role: Literal["system", "user", "assistant", "developer"]
    execution: Literal["server", "client"]
    tools: Annotated[list[Any], {"items": TOOLS}]
    server_label: str
    error: str | RemoteError | None
    approval_request_id: str | None
    approve: bool
    reason: str | None
