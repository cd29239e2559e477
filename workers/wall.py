"""A wall around this process, for one that reads what strangers wrote: it opens, sends, starts and signals nothing.

What is open when the wall closes stays so: streams go on. Modules must have been imported before.
"""

import ctypes
import os
import resource
import sys
from collections.abc import Mapping

NICENESS = 10
_NOBODY = 65534

# From linux/landlock.h and linux/prctl.h. The numbers of these calls are those of every architecture.
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_ASK_VERSION = 1
_SET_NO_NEW_PRIVS = 38
# How many kinds of access to files, and to TCP ports, a version of Landlock and those after it can forbid, and how
# many kinds of things outside (abstract sockets, signals) it can put out of reach.
_FILES = {1: 13, 2: 14, 3: 15, 5: 16}
_PORTS = {4: 2}
_SCOPES = {6: 2}


class _Ruleset(ctypes.Structure):
    """`struct landlock_ruleset_attr`: what is forbidden unless a rule allows it, of which we add none."""

    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


def give_way() -> None:
    """Has processes of ordinary priority go before this one, where cores are busy: those who search wait for them."""
    os.nice(NICENESS)


def close() -> list[str]:
    """Closes the wall for good, as far as this system can; names what it can't."""
    gaps = [*_become_nobody(), *_forbid()]
    # On any system no file, socket or process comes to be by these. Landlock refuses what takes no descriptor, too.
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(limit, (0, 0))
    return gaps


def _become_nobody() -> list[str]:
    """The superuser, whom limits don't bind, becomes a user who owns nothing."""
    if os.geteuid() != 0:
        return []
    try:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    except OSError as error:  # a container that has no such user
        return [f"it stays the superuser: {error.strerror}"]
    return []


def _forbid() -> list[str]:
    """Has Landlock refuse paths, TCP ports, and signals to and tracing of whoever is outside."""
    if sys.platform != "linux":
        return ["this system has no Landlock"]
    version = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        return [f"the kernel has no Landlock: {os.strerror(ctypes.get_errno())}"]
    asked = _Ruleset(_bits(_FILES, version), _bits(_PORTS, version), _bits(_SCOPES, version))
    ruleset = _call(_CREATE_RULESET, ctypes.byref(asked), ctypes.sizeof(asked), 0)
    set_process = ctypes.CDLL(None, use_errno=True).prctl
    no_new_privs = (_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    if ruleset < 0 or set_process(*no_new_privs) or _call(_RESTRICT_SELF, ruleset, 0, 0):
        return [f"Landlock can't be used: {os.strerror(ctypes.get_errno())}"]
    os.close(ruleset)
    return [] if asked.scopes else [f"version {version} of Landlock lets signals through"]


def _call(number: int, *arguments: object) -> int:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    given = (ctypes.c_long(value) if isinstance(value, int) else value for value in arguments)
    return int(call(ctypes.c_long(number), *given))


def _bits(known: Mapping[int, int], version: int) -> int:
    """The lowest bits set, as many as that version knows."""
    return (1 << max((count for since, count in known.items() if since <= version), default=0)) - 1
