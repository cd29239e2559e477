"""What clients are answered about functions."""

from typing import Annotated, Any, Literal, TypedDict

from tasks.errors import ToolFailed
from tasks.functions.signature import Signature
from tasks.jobs.view import JobError


class ServerFunction(TypedDict):
    """A function that the server has."""

    name: str
    object: Literal["function"]
    description: str
    parameters: Annotated[dict[str, Any], "The JSON schema of its arguments."]


class ServerFunctionList(TypedDict):
    object: Literal["list"]
    data: list[ServerFunction]


class FunctionResult(TypedDict):
    """What came of a call: the error is null, or else the result."""

    object: Literal["function_result"]
    name: str
    result: Annotated[Any, "What the function returned."]
    error: Annotated[JobError | None, "Why there is no result; the code is `tool_failed`."]


def function(signature: Signature) -> ServerFunction:
    return {
        "name": signature.name,
        "object": "function",
        "description": signature.description,
        "parameters": dict(signature.parameters),
    }


def returned(name: str, result: Any) -> FunctionResult:
    return {"object": "function_result", "name": name, "result": result, "error": None}


def failed(name: str, error: ToolFailed) -> FunctionResult:
    told: JobError = {"code": error.code, "message": str(error)}
    return {"object": "function_result", "name": name, "result": None, "error": told}
