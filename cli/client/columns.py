"""Rows for the eye, one below the other; and for a pipe, since nothing is cut to the terminal's width."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """The rows, of as many cells each, as lines: each column is as wide as its longest cell. One row at least."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
