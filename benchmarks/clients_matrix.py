"""Clients that people use, each in an environment of its own, against a platform that is started for them.

    python -m benchmarks.clients_matrix [--keep DIR] [--only NAME]

They are fetched from the package indexes of Python and of Node. What each does is in `benchmarks/smoke/`.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.launcher.tour.launched import launched
from tests.support.platform import free_port

SMOKE = Path(__file__).parent / "smoke"
LLM_MODELS = """\
- model_id: forebay
  model_name: demo-chat
  api_base: {base}
  can_stream: true
"""
CHECKS = ("chat", "stream", "tools", "structured", "embeddings", "retriever", "models", "errors")


@dataclass(frozen=True, slots=True)
class Client:
    """What is installed, and the program that uses it; of a command line tool, the tool itself."""

    name: str
    package: str
    program: str = ""

    @property
    def node(self) -> bool:
        return self.program.endswith(".mjs")


CLIENTS = (
    Client("openai 1.x", "openai==1.109.1", "openai_python.py"),
    Client("openai 2.x", "openai==2.54.0", "openai_python.py"),
    Client("openai 3.x", "openai==3.57.0", "openai_python.py"),
    Client("openai for Node 20", "openai@6.49.0", "openai_node.mjs"),
    Client("openai for Node 22", "openai@7.57.0", "openai_node.mjs"),
    Client("LangChain", "langchain-openai==1.7.4", "chains.py"),
    Client("llm", "llm==0.36"),
)


def install(client: Client, folder: Path) -> None:
    """Makes the client's environment, unless it is there."""
    made = folder / "made-from.txt"
    if made.exists() and made.read_text() == client.package:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if client.node:
        _run(["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), client.package])
    else:
        venv.create(folder, with_pip=True)
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", client.package])
    made.write_text(client.package)


def tried(client: Client, folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """How each check went: `yes`, or what went wrong."""
    if not client.program:
        return _tool(folder, env)
    if client.node:
        program = shutil.copy(SMOKE / client.program, folder)
        said = _output(["node", str(program)], env)
    else:
        said = _output([str(folder / "bin" / "python"), str(SMOKE / client.program)], env)
    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {each["check"]: "yes" if each["ok"] else each["error"] for each in told} or {"chat": said[-300:]}


def _tool(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """`llm`, as it is typed: a prompt, and once more streamed."""
    (folder / "extra-openai-models.yaml").write_text(LLM_MODELS.format(base=env["OPENAI_BASE_URL"]))
    asked = [str(folder / "bin" / "llm"), "-m", "forebay", "-o", "max_tokens", "12", "Tell me a story about Anna."]
    own = {**env, "LLM_USER_PATH": str(folder)}
    return {
        "chat": "yes" if _output([*asked, "--no-stream"], own).strip() else "it said nothing",
        "stream": "yes" if _output(asked, own).strip() else "it said nothing",
    }


def _run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def _output(argv: Sequence[str], env: Mapping[str, str]) -> str:
    ran = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=300, check=False)
    return ran.stdout if ran.returncode == 0 else f"{ran.stdout}\n{ran.stderr}"


@contextmanager
def platform() -> Iterator[Mapping[str, str]]:
    """The environment in which clients ask a platform that runs meanwhile."""
    with (
        tempfile.TemporaryDirectory(prefix="forebay-clients-") as data,
        launched(Path(data), free_port(), 0, lambda _: None) as started,
    ):
        own = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "PYTHONPATH"))}
        yield {**own, "OPENAI_BASE_URL": f"{started.url}/v1", "OPENAI_API_KEY": started.key}


def lines(results: Mapping[Client, Mapping[str, Any]]) -> Iterator[str]:
    yield f"| client | package | {' | '.join(CHECKS)} |"
    yield f"|---|---|{'---|' * len(CHECKS)}"
    for client, went in results.items():
        yield f"| {client.name} | {client.package} | {' | '.join(went.get(check, '') for check in CHECKS)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Clients that people use")
    parser.add_argument("--keep", type=Path, help="keep their environments there")
    parser.add_argument("--only", help="only the client of this name")
    given = parser.parse_args()
    chosen = [client for client in CLIENTS if given.only in (None, client.name)]
    with tempfile.TemporaryDirectory(prefix="forebay-clients-") as scratch, platform() as env:
        results = {}
        for client in chosen:
            folder = (given.keep or Path(scratch)).absolute() / client.name.replace(" ", "-")
            install(client, folder)
            results[client] = tried(client, folder, env)
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
