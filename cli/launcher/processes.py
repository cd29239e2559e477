"""Processes we start, start again when they die, and stop.

One thread does it all, and it must be the main thread: on Linux a child is told of its
parent's death when the *thread* that started it ends.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from cli.launcher import leftovers, rotation

FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 30.0
STEADY_AFTER_S = 10.0
POLL_S = 0.2
REFUSED = 78  # EX_CONFIG of sysexits.h
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Spec:
    """What to run and how to end it; `env` is the whole environment of the process."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_limit_s: float = 5.0
    # What the kernel sends it when the launcher is killed without a chance to stop anything.
    death_signal: signal.Signals = signal.SIGKILL
    user: str | None = None
    # It has an end: exiting with status 0 is no death, nor is `REFUSED`, which starting it again wouldn't mend.
    once: bool = False


@dataclass(slots=True)
class Child:
    """One process of ours over all its lives."""

    spec: Spec
    process: subprocess.Popen[bytes]
    started: float
    deaths: int = 0  # in all
    deaths_in_a_row: int = 0  # since it last lived long enough to be called steady
    due: float | None = None  # when to start it again; None while it runs


def restart_delay_s(deaths_in_a_row: int) -> float:
    """Seconds to wait before starting what has died so many times in a row."""
    return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(deaths_in_a_row - 1, 10)))


@dataclass(slots=True)
class Supervisor:
    """Keeps processes alive; each writes to `<logs>/<name>.log`, which is kept short, all are noted in `record`.

    `say` is told in a sentence about every death.
    """

    logs: Path
    record: Path
    say: Callable[[str], None]
    log_limit_bytes: int = rotation.LIMIT_BYTES
    trim_every_s: float = 1.0
    _children: dict[str, Child] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    _trim_at: float = 0.0

    def start(self, spec: Spec) -> None:
        """Starts a process and keeps it alive until `stop`."""
        self._children[spec.name] = Child(spec, self._spawn(spec), time.monotonic())
        self._note()

    def tend(self) -> list[str]:
        """Notices deaths and starts again what is due, and cuts what is too long of logs. Call it every POLL_S.

        Returns the names of those that have died since the last call.
        """
        self._trim()
        dead = []
        for child in list(self._children.values()):
            if child.due is None and child.process.poll() is not None:
                dead.append(child.spec.name)
                self._bury(child)
            if child.due is not None and time.monotonic() >= child.due:
                self._revive(child)
        return dead

    def _trim(self) -> None:
        now = time.monotonic()
        if now < self._trim_at:
            return
        self._trim_at = now + self.trim_every_s
        for name in self._children:
            rotation.trim(self.log(name), self.log_limit_bytes)

    def end(self, name: str) -> None:
        """Ends the process with all it started, at once; it is started again like one that died by itself."""
        leftovers.kill_group(self.pid(name))

    def names(self) -> list[str]:
        """The processes it keeps alive."""
        return list(self._children)

    def keeps(self, name: str) -> bool:
        """Whether it keeps that process alive: no longer after `stop`, or after one with an end has ended."""
        return name in self._children

    def refused(self, name: str) -> bool:
        """Whether one with an end has ended by refusing to do what it is for; its log's last line says why."""
        return name in self._refused

    def deaths(self, name: str) -> int:
        """How often the process of that name has died."""
        return self._children[name].deaths

    def pid(self, name: str) -> int:
        """The process id that name has, or had last."""
        return self._children[name].process.pid

    def log(self, name: str) -> Path:
        """The file that the process of that name writes to."""
        return self.logs / f"{name}.log"

    def stop(self, *names: str) -> None:
        """Ends these processes, together: asks, waits as long as each may take, then kills."""
        ending = [self._children.pop(name) for name in names if name in self._children]
        for child in ending:
            if child.process.poll() is None:
                child.process.send_signal(child.spec.stop_signal)
        asked = time.monotonic()
        for child in ending:
            self._end(child, asked + child.spec.stop_limit_s)
        self._note()

    def _end(self, child: Child, deadline: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, deadline - time.monotonic()))
        if child.process.poll() is None:
            self.say(f"{child.spec.name} did not stop in {child.spec.stop_limit_s:g} s and is killed: no job is lost")
        leftovers.kill_group(child.process.pid)
        child.process.wait()

    def _bury(self, child: Child) -> None:
        leftovers.kill_group(child.process.pid)  # an engine host must not outlive its worker
        if child.spec.once and child.process.returncode in (0, REFUSED):
            del self._children[child.spec.name]
            if child.process.returncode == REFUSED:
                self._refused.add(child.spec.name)
            return
        now = time.monotonic()
        steady = now - child.started >= STEADY_AFTER_S
        child.deaths += 1
        child.deaths_in_a_row = 1 if steady else child.deaths_in_a_row + 1
        delay_s = restart_delay_s(child.deaths_in_a_row)
        child.due = now + delay_s
        ended = describe_exit(child.process.returncode)
        self.say(f"{child.spec.name} {ended}, starting it again in {delay_s:g} s")

    def _revive(self, child: Child) -> None:
        try:
            child.process = self._spawn(child.spec)
        except OSError as error:  # no room for its log, or for one more process
            child.due = time.monotonic() + LONGEST_DELAY_S
            self.say(f"{child.spec.name} can't be started, trying again in {LONGEST_DELAY_S:g} s: {error}")
            return
        child.started = time.monotonic()
        child.due = None
        self._note()

    def _spawn(self, spec: Spec) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C in the terminal reaches only the launcher, which
        # stops the others in order, and what a child starts can be ended with it.
        with self.log(spec.name).open("ab") as out:
            return subprocess.Popen(
                spec.argv,
                env=spec.env,
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=spec.user,
                group=None if spec.user is None else pwd.getpwnam(spec.user).pw_gid,
                extra_groups=None if spec.user is None else [],
                preexec_fn=partial(_die_with_parent, _libc(), os.getpid(), spec.death_signal),
            )

    def _note(self) -> None:
        running = [child for child in self._children.values() if child.due is None]
        with suppress(OSError):  # on a full disk an older note stays, which names nobody else's processes
            leftovers.write(self.record, [(c.spec.name, c.process.pid, c.spec.stop_signal) for c in running])


def describe_exit(returncode: int) -> str:
    """How a process ended, in words."""
    if returncode >= 0:
        return f"exited with status {returncode}"
    return f"was ended by {signal.Signals(-returncode).name}"


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent(libc: ctypes.CDLL | None, parent: int, death_signal: signal.Signals) -> None:
    # Runs in the child between fork and exec, after any change of user (which would undo it).
    # Elsewhere than on Linux the next start ends what was left (cli/launcher/leftovers.py).
    if libc is None:
        return
    libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)
