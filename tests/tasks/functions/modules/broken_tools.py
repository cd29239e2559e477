"""A module whose function has no docstring."""

from tasks.functions.registry import function


@function
def silent() -> None:
    pass
