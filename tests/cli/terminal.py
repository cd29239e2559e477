"""A command that is run at a terminal."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.platform import ROOT

LIMIT_S = 30.0
AGAIN_S = 5.0  # of silence, after which what was typed counts as lost
INTERRUPT = "\x03"
END = "\x04"


@dataclass(slots=True)
class Terminal:
    """What a person sees of one command and types to it. `seen` is what hasn't been expected yet."""

    process: "subprocess.Popen[bytes]"
    descriptor: int
    seen: str = ""

    def type(self, text: str) -> None:
        os.write(self.descriptor, text.encode())

    def expect(self, text: str) -> str:
        """Waits until the text is shown; returns what came before it."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.seen:
            ready, _, _ = select.select([self.descriptor], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} isn't shown: {self.seen!r}"
            self.seen += self._read()
        before, _, self.seen = self.seen.partition(text)
        return before

    def insist(self, typed: str, text: str) -> None:
        """Types until the text is shown: Python loses a Ctrl-C that comes just before it waits for a line."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} isn't shown: {self.seen!r}"
            self.type(typed)
            while text not in self.seen and select.select([self.descriptor], [], [], AGAIN_S)[0]:
                self.seen += self._read()
        self.seen = self.seen.partition(text)[2]

    def status(self) -> int:
        return self.process.wait(LIMIT_S)

    def _read(self) -> str:
        try:
            shown = os.read(self.descriptor, 4096)
        except OSError as error:  # so Linux says that the command has ended
            raise AssertionError(f"it ended: {self.seen!r}") from error
        return shown.decode(errors="replace").replace("\r\n", "\n")


@contextmanager
def terminal(*argv: str, **env: str) -> Iterator[Terminal]:
    """Runs `forebay` with these arguments at a terminal of its own."""
    ours, its = pty.openpty()
    command = [sys.executable, "-c", _LEAD, *argv]
    plain = {"TERM": "dumb", "INPUTRC": os.devnull, **env}
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **plain}, stdin=its, stdout=its, stderr=its, start_new_session=True
    ) as process:
        os.close(its)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)


# Ctrl-C reaches who has the terminal for its own, which a new session must ask for.
_LEAD = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from cli.main import main
main(prog_name="forebay")
"""
