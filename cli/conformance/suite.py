"""OpenAI's tests of its Python client: fetched from the package index, and run in an environment of their own."""

import os
import subprocess
import tarfile
import venv
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

VERSION = "3.57.0"  # the newest 3.x, pinned as in requirements.txt beside this module
_PACKAGES = Path(__file__).with_name("requirements.txt")
_TESTS = "tests/api_resources"

AREAS: Mapping[str, str] = {
    "chat completions": f"{_TESTS}/chat/test_completions.py",
    "stored messages": f"{_TESTS}/chat/completions/test_messages.py",
    "completions": f"{_TESTS}/test_completions.py",
    "embeddings": f"{_TESTS}/test_embeddings.py",
    "models": f"{_TESTS}/test_models.py",
    "moderations": f"{_TESTS}/test_moderations.py",
    "files": f"{_TESTS}/test_files.py",
    "uploads": f"{_TESTS}/test_uploads.py",
    "parts of uploads": f"{_TESTS}/uploads/test_parts.py",
    "batches": f"{_TESTS}/test_batches.py",
    "responses": f"{_TESTS}/test_responses.py",
    "input items": f"{_TESTS}/responses/test_input_items.py",
    "input tokens": f"{_TESTS}/responses/test_input_tokens.py",
    "conversations": f"{_TESTS}/test_conversations.py",
    "items of conversations": f"{_TESTS}/conversations/test_items.py",
    "vector stores": f"{_TESTS}/test_vector_stores.py",
    "files of vector stores": f"{_TESTS}/vector_stores/test_files.py",
    "batches of such files": f"{_TESTS}/vector_stores/test_file_batches.py",
}
# Of those files, what asks for calls that aren't served here.
NOT_SERVED: Mapping[str, Sequence[str]] = {
    "DELETE /v1/models/{model}": [
        f"{AREAS['models']}::{room}::test_{how}_delete"
        for room in ("TestModels", "TestAsyncModels")
        for how in ("method", "raw_response", "streaming_response", "path_params")
    ]
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test went. `mode` is `loose`, `strict` or `aiohttp`, as the suite calls its clients."""

    area: str
    name: str
    mode: str
    passed: bool
    complaint: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests and their environment, in a folder that may be kept for the next time."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "env" / "bin" / "python"

    @property
    def source(self) -> Path:
        return self.folder / f"openai-{VERSION}"

    def fetch(self) -> None:
        """Makes the environment and unpacks the tests, where that hasn't been done. Raises `ClickException`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made_from = self.folder / "env" / "made-from.txt"
        if not made_from.exists() or made_from.read_text() != _PACKAGES.read_text():
            venv.create(self.folder / "env", with_pip=True, clear=True)
            self._pip("install", "-r", str(_PACKAGES))
            made_from.write_text(_PACKAGES.read_text())
        if not self.source.exists():
            # Its build tool is in the environment: pip asks it for the package's name and version.
            options = ("--no-deps", "--no-binary", "openai", "--no-build-isolation", "--dest", str(self.folder))
            self._pip("download", *options, f"openai=={VERSION}")
            with tarfile.open(self.folder / f"openai-{VERSION}.tar.gz") as archive:
                archive.extractall(self.folder, filter="data")

    def run(self, url: str, only: str | None = None) -> list[Outcome]:
        """Runs the tests of all areas against the API at that URL, one after the other.

        `only` is pytest's expression of which. Raises `ClickException` where they couldn't be run.
        """
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        argv = [str(self.python), "-m", "pytest", "-o", "addopts=", "-q", "--tb=short", "-p", "no:cacheprovider"]
        argv += [f"--junit-xml={report}", "-o", "junit_logging=no", *AREAS.values()]
        argv += [part for tests in NOT_SERVED.values() for test in tests for part in ("--deselect", test)]
        argv += ["-k", only] if only else []
        env = {**os.environ, "TEST_API_BASE_URL": f"{url}/v1", "PYTHONDONTWRITEBYTECODE": "1"}
        env.pop("PYTHONPATH", None)
        ran = subprocess.run(argv, cwd=self.source, env=env, capture_output=True, text=True, check=False)
        if not report.exists():
            raise click.ClickException(f"the tests couldn't be run:\n{(ran.stdout + ran.stderr)[-2000:]}")
        return outcomes(report.read_text())

    def _pip(self, *argv: str) -> None:
        command = [str(self.python), "-m", "pip", "--quiet", "--disable-pip-version-check", *argv]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise click.ClickException(f"pip {argv[0]} failed:\n{ran.stderr[-2000:]}")


def outcomes(report: str) -> list[Outcome]:
    """What pytest's report says, in JUnit's XML; of tests that were skipped nothing."""
    cases = ET.fromstring(report).iter("testcase")  # noqa: S314 written by our own run of pytest
    return [_outcome(case) for case in cases if case.find("skipped") is None]


def _outcome(case: ET.Element) -> Outcome:
    name, _, mode = case.get("name", "").partition("[")
    complaint = next((found for word in ("failure", "error") if (found := case.find(word)) is not None), None)
    told = "" if complaint is None else (complaint.get("message") or complaint.text or "").strip()
    room = case.get("classname", "").rpartition(".")
    return Outcome(_area(room[0]), f"{room[2]}::{name}", mode.rstrip("]"), complaint is None, told)


def _area(module: str) -> str:
    file = module.replace(".", "/") + ".py"
    return next(area for area, path in AREAS.items() if path == file)
