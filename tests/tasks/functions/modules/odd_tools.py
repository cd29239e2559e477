"""An operator's module whose functions do what functions shouldn't."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tasks.errors import ToolFailed
from tasks.functions.registry import function


@function
def greet(name: str) -> str:
    """Greets somebody."""
    return f"Good morning, {name}"


@function
async def greet_later(name: str) -> str:
    """Greets somebody, by asyncio."""
    return greet(name)


@function
def hang(file: str) -> None:
    """Writes the number of its process into the file, starts another one, and never returns."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    _write(file, f"{os.getpid()} {other.pid}")
    threading.Event().wait()


@function
def hold(file: str) -> None:
    """Never returns, nor lets any other thread of Python run."""
    _write(file, str(os.getpid()))
    ctypes.PyDLL(None).sleep(600)


@function
def wait_for(file: str) -> int:
    """Returns once the file is there."""
    while not Path(file).exists():
        time.sleep(0.01)
    return os.getpid()


@function
def fail() -> None:
    """Raises what nobody should read."""
    raise RuntimeError("the password is swordfish")


@function
def refuse() -> None:
    """Raises what is meant to be read."""
    raise ToolFailed("no such\0order")


@function
def die(status: int) -> None:
    """Ends the process it runs in."""
    os._exit(status)


@function
def leave() -> None:
    """Ends it as a program ends."""
    sys.exit(0)


@function
def grow() -> int:
    """Takes memory without end."""
    taken = []
    while True:
        taken.append(bytearray(1 << 24))


@function
def many(count: int, letter: str = "x") -> str:
    """Returns a text of so many letters."""
    return letter * count


@function
def odd(what: str) -> Any:
    """Returns what JSON doesn't have."""
    circle: list[Any] = []
    circle.append(circle)
    return {"object": object(), "nan": float("nan"), "circle": circle, "surrogate": "\ud800", "NUL": ["\0"]}[what]


@function
def chatter() -> str:
    """Prints, and reads what isn't meant for it."""
    print("nobody asked for this")
    return sys.stdin.read()


@function
def see(variable: str) -> str | None:
    """What the environment has under this name."""
    return os.environ.get(variable)


@function
def pid() -> int:
    """The number of the process."""
    return os.getpid()


def _write(file: str, text: str) -> None:
    Path(f"{file}.new").write_text(text)
    Path(f"{file}.new").rename(file)
