"""Which tests share what takes long to start, and so run in one process, one after the other."""

import functools
import re

from xdist.scheduler import LoadScopeScheduling

from tests.support.platform import ROOT

# A test or a fixture that asks for a fixture which is a whole platform and lives for the session.
_PLATFORM = re.compile(r"(?:def test|@pytest\.fixture.*\ndef )\w*\([^)]*?\b(?:(stack): Stack|(walled): Walled)\b")


@functools.cache
def group(file: str) -> str:
    """The platform that tests of this file share with those of others; the file itself where there is none."""
    found = _PLATFORM.search((ROOT / file).read_text())
    return str(found[1] or found[2]) if found else file


class Together(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a process whole groups.

    xdist's own `loadgroup` gives single tests since pytest 9.2: its groups are written where nobody reads them now.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid.partition("::")[0])
