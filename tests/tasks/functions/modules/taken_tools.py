"""A module that has a function whose name is one of ours."""

from tasks.functions.registry import function


@function
def weather() -> str:
    """Tells the weather."""
    return "fine"
