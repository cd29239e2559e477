"""The ports of a `forebay up`: those that are asked for, or else free ones."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from cli.launcher import lineup

API, FLOWER = 8000, 5555  # where they are, unless something else is
_LAST = 65535

OfApi = click.IntRange(1, _LAST)
OfFlower = click.IntRange(0, _LAST)


@contextmanager
def chosen(api: int | None, flower: int | None, say: Callable[[str], None]) -> Iterator[tuple[int, int]]:
    """Those of the API and of Flower, which is 0 for no Flower. Where none is asked for it is the first free one from
    the usual one on, and that is said where it isn't the usual one. No other launcher of this user has them for as long
    as the block runs: what is to listen there starts seconds later.

    Raises `ClickException` for a port that is asked for and that something else has.
    """
    asked = {port for port in (api, flower) if port}
    with ExitStack() as held:
        api = _chosen(api, API, "--port", asked, say, held)
        yield api, 0 if flower == 0 else _chosen(flower, FLOWER, "--flower-port", {*asked, api}, say, held)


def _chosen(
    wanted: int | None,
    usual: int,
    option: str,
    others: Collection[int],
    say: Callable[[str], None],
    held: ExitStack,
) -> int:
    if wanted is not None:
        if refusal := _refusal(wanted, held):
            raise click.ClickException(f"{option} {wanted}: {refusal}")
        return wanted
    free = (port for port in range(usual, _LAST + 1) if port not in others and _refusal(port, held) is None)
    found = next(free, None)
    if found is None:
        raise click.ClickException(f"{option}: no port from {usual} on is free")
    if found != usual:
        say(f"{usual} is taken, so {option} is {found}")
    return found


def _refusal(port: int, held: ExitStack) -> str | None:
    """Why nothing of ours can listen there; None where it can, and then it is ours until `held` is closed."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((lineup.HOST, port))
        except OSError as error:
            return error.strerror
    try:
        _hold(port, held)
    except BlockingIOError:
        return "another `forebay up` has it"
    return None


def _hold(port: int, held: ExitStack) -> None:
    """Takes the lock of that port. The kernel lets go of it when we end, however we end; its empty file stays.

    Raises `BlockingIOError` where another has it.
    """
    folder = Path(tempfile.gettempdir()) / f"forebay-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    held.callback(os.close, lock)
