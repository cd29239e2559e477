"""Which tests share what takes long to start, and so run in one process, one after the other; and when it ends."""

import functools
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from xdist.scheduler import LoadScopeScheduling

from tests.support.platform import ROOT

# A test or a fixture that asks for a fixture which is a whole platform and lives for the session, or a client of one.
_PLATFORM = re.compile(
    r"(?:def test|@pytest\.fixture.*\ndef )\w*\([^)]*?\b(?:(stack): Stack|(walled): Walled|sdk: OpenAI)\b"
)

T = TypeVar("T")
_ends: dict[str, ExitStack] = {}


@contextmanager
def shared(name: str, platform: AbstractContextManager[T]) -> Iterator[T]:
    """Runs a platform under the name of its group for as long as the block does, or until `end` is called for it."""
    with ExitStack() as until_end:
        _ends[name] = until_end
        yield until_end.enter_context(platform)


def end(name: str) -> None:
    """Ends the platform of the group, if one runs: workers that wait take a third of a core from all other tests."""
    if name in _ends:
        _ends.pop(name).close()


@functools.cache
def group(file: str) -> str:
    """The platform that tests of this file share with those of others; the file itself where there is none."""
    found = _PLATFORM.search((ROOT / file).read_text())
    return str(found[1] or found[2] or "stack") if found else file


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process whole groups.

    xdist's own `loadgroup` gives single tests since pytest 9.2: its groups are written where nobody reads them now.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid.partition("::")[0])
