"""The ports of a `forebay up`: those that are asked for, or else free ones."""

import socket
from collections.abc import Callable, Collection

import click

from cli.launcher import lineup

API, FLOWER = 8000, 5555  # where they are, unless something else is
_LAST = 65535

OfApi = click.IntRange(1, _LAST)
OfFlower = click.IntRange(0, _LAST)


def choose(api: int | None, flower: int | None, say: Callable[[str], None]) -> tuple[int, int]:
    """Those of the API and of Flower, which is 0 for no Flower. Where none is asked for it is the first free one from
    the usual one on, and that is said where it isn't the usual one.

    Raises `ClickException` for a port that is asked for and that something else has.
    """
    asked = {port for port in (api, flower) if port}
    api = _chosen(api, API, "--port", asked, say)
    return api, 0 if flower == 0 else _chosen(flower, FLOWER, "--flower-port", {*asked, api}, say)


def _chosen(wanted: int | None, usual: int, option: str, others: Collection[int], say: Callable[[str], None]) -> int:
    if wanted is not None:
        if refusal := _refusal(wanted):
            raise click.ClickException(f"{option} {wanted}: {refusal}")
        return wanted
    free = (port for port in range(usual, _LAST + 1) if port not in others and _refusal(port) is None)
    chosen = next(free, None)
    if chosen is None:
        raise click.ClickException(f"{option}: no port from {usual} on is free")
    if chosen != usual:
        say(f"{usual} is taken, so {option} is {chosen}")
    return chosen


def _refusal(port: int) -> str | None:
    """Why nothing of ours can listen there; None where it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((lineup.HOST, port))
        except OSError as error:
            return error.strerror
    return None
