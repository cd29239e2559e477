"""How numbers are said."""


def count(number: int, one: str, several: str | None = None) -> str:
    """So many of them: `1 file`, `2 files`."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"
