"""The image of compose/Dockerfile, built without a Docker engine, and every service of compose.yaml run in it."""

import os
import shutil

from tests.operate.installation import Installation, LeftOut, run
from tests.support.platform import ROOT

_PROGRAMS = ("buildah", "debootstrap", "unshare")


def build(installation: Installation) -> str:
    """By the script that is beside the Dockerfile, which says what it has done."""
    if missing := [program for program in _PROGRAMS if shutil.which(program) is None]:
        raise LeftOut(f"no {', '.join(missing)}")
    if os.geteuid() != 0:
        raise LeftOut("not root, who alone can make a base")
    folder = installation.folder / "image"
    said = run([str(ROOT / "compose" / "build-here.sh"), str(folder)], installation.env, ROOT)
    return "; ".join(line.removeprefix("ok: ") for line in said.splitlines() if line.startswith("ok: "))
