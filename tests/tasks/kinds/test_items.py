"""Functions' calls among a response's items, and what they gave."""

from typing import Any

import pytest

from tasks.kinds import items


def call(id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"}


def output(id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": id, "output": "2"}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ([], None),
        ([call("a"), call("b"), output("b"), output("a")], None),
        ([call("a"), output("a"), call("a"), output("a")], None),
        ([call("a")], "No tool output found for function call a."),
        ([output("a"), call("a")], "No tool call found for function call output with call_id a."),
        ([call("a"), call("a"), output("a")], "Function call a is there a second time, before its tool output."),
        ([call("a"), output("a"), call("a")], "No tool output found for function call a."),
    ],
)
def test_each_call_has_its_output_behind_it(given: list[dict[str, Any]], wrong: str | None) -> None:
    assert items.loose_end(given) == wrong
