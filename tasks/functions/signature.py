"""What is told of a function to whoever may want it called."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's name, what it does, and the JSON schema of its arguments, which is always one of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
