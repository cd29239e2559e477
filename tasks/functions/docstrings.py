"""What a function's docstring says: of the function, and in its section `Args:` of its parameters."""

import inspect
import re
from collections.abc import Callable
from typing import Any

_SECTION = re.compile(r"^(Args|Arguments|Parameters|Returns|Yields|Raises|Examples?|Notes?):\s*$", re.MULTILINE)
_ARGS = ("Args", "Arguments", "Parameters")
_PARAMETER = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def read(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The description, empty without a docstring, and those of the parameters by name; each on one line a paragraph."""
    text, *rest = _SECTION.split(inspect.getdoc(function) or "")
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    told = next((sections[name] for name in _ARGS if name in sections), "")
    return "\n\n".join(map(_joined, re.split(r"\n\s*\n", text.strip()))), _parameters(inspect.cleandoc(told))


def _parameters(section: str) -> dict[str, str]:
    """A parameter begins at the margin; what is indented more goes on with the one before."""
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if begun := _PARAMETER.match(line):
            name, found[begun[1]] = begun[1], begun[2]
        elif name and line.startswith(" "):
            found[name] += f" {line}"
    return {name: _joined(text) for name, text in found.items()}


def _joined(text: str) -> str:
    return " ".join(text.split())
