"""Calls of the server's functions that a model wants: made here, and their results told."""

from tasks import errors
from tasks.functions.toolbox import Toolbox
from tasks.kinds.generation import Generation
from tasks.streams.events import ToolCall, ToolResult
from tasks.streams.transcript import Round
from workers.attempt import Attempt
from workers.publisher import Publisher

MOST_ROUNDS = 8  # then the model has to answer


def are_wanted(of: Round, asked: Generation) -> bool:
    """Whether all that was called are functions of the server: what else is called is the client's to answer."""
    return bool(of.calls) and all(call.name in asked.server_functions for call in of.calls)


def make(of: Round, toolbox: Toolbox, attempt: Attempt, publisher: Publisher) -> None:
    """Makes the round's calls that have no result yet. What fails is told as the result.

    A call may be made twice, where a worker died before its result was kept. Raises `Cancelled`, `Fenced`.
    """
    told = {result.id for result in of.results}
    for call in of.calls:
        if call.id not in told:
            attempt.check()
            publisher.transcript.add(_result(call, toolbox, attempt))
            publisher.flush()


def _result(call: ToolCall, toolbox: Toolbox, attempt: Attempt) -> ToolResult:
    try:
        answer = toolbox.call(call.name, call.arguments, lambda: attempt.stopped is not None)
    except (errors.ToolFailed, errors.InvalidField, errors.NotFound, errors.Unavailable) as error:
        attempt.check()  # a call that was stopped with its attempt didn't fail: another attempt makes it
        where = f"{error.field}: " if isinstance(error, errors.InvalidField) else ""
        return ToolResult(call.id, call.name, f"error: {where}{error}", ok=False)
    return ToolResult(call.id, call.name, answer)
