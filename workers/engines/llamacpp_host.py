"""The engine host of `llamacpp`: llama.cpp's own HTTP server on a loopback port, behind a random key.

Runs as `python -m workers.engines.llamacpp_host`: one line of JSON on stdin says what to load, one on stdout where it
listens; when stdin closes, it ends. The server comes from the xllamacpp wheel, or is the `llama-server` binary that
the catalogue names. It is given token ids only: texts and chat templates are the tokenizer's (`tokenizer_host`).
"""

import collections
import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from tasks import errors
from workers.engines import llamacpp_fit

_ERROR = " E "  # how llama.cpp's log marks a line that tells of an error
_CAUSE = "error loading model: "
_KEPT_LINES = 40
_TEMPLATE = "chatml"  # of no use here, but the file's own would be parsed, and a broken one would stop the server


class LoadError(Exception):
    """The model can't be loaded; the text says why."""


def main() -> None:
    """Loads, says so, and stays until stdin closes."""
    told = json.loads(sys.stdin.readline())
    answers = take_stdout()
    # Its threads meet hundreds of times for each token. On cores that others use too, the one that is there first had
    # better sleep than wait for a core in a loop on the very core that the other needs (docs/adr/0021).
    os.environ["GOMP_SPINCOUNT"] = "0"
    try:
        weights = llamacpp_fit.read(Path(told["file"]))
        # Other builds may map far more than the file and the cache: CUDA does.
        limit(None if told["binary"] else weights.address_space(told["slots"] * told["context"]))
        server, address = serve(told)
    except (errors.EngineUnusable, LoadError) as error:
        print(json.dumps({"error": str(error)}), file=answers, flush=True)
        sys.exit(1)
    print(json.dumps({"address": address}), file=answers, flush=True)
    sys.stdin.read()
    end(server)


def take_stdout() -> IO[str]:
    """The way for answers: the library prints to file descriptor 1, which from now on is stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def limit(memory_bytes: int | None) -> None:
    """Bounds the address space, and leaves no core behind."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def serve(told: dict[str, Any]) -> tuple[Any, str]:
    """A server with the model loaded, and its address. Raises `LoadError` with the library's own last words."""
    try:
        return _serve_binary(told) if told["binary"] else _serve_wheel(told)
    except OSError as error:
        raise LoadError(f"{told['file']}: {error}") from error


def end(server: Any) -> None:
    """Ends the process and its server. Nothing is to be saved, and the library's threads need not be waited for."""
    if isinstance(server, subprocess.Popen):
        server.kill()
    os._exit(0)


def _serve_wheel(told: dict[str, Any]) -> tuple[Any, str]:
    """llama.cpp's server inside this process."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = told["file"]
    # A cache of its own for each slot: with a unified one, greedy answers change with what else is running.
    params.kv_unified = False
    params.n_parallel = told["slots"]
    params.n_ctx = told["slots"] * told["context"]
    # Small prompt batches, so that a long prompt neither stalls its neighbours nor outlives its cancellation.
    params.n_batch = params.n_ubatch = told["batch"]
    params.embedding = told["embedding"]  # pooled as the file says
    if told["ranking"]:
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
    params.n_threads_http = told["slots"] + 4
    params.api_keys = [told["key"]]
    params.cors_origins = ""  # no page in a browser has any business here
    params.cache_ram_mib = 0
    # Of a model with a sliding window all is kept, as of other models: else the server finds little again of a prompt
    # that is shorter than the window, or of what is older (docs/adr/0030).
    params.swa_full = True
    params.fit_params = False  # it would load the model a first time to see what fits
    params.warmup = False
    params.ui = False
    params.use_jinja = False
    params.chat_template = _TEMPLATE
    params.no_extra_bufts = told["mapped"]
    params.verbosity = 1  # errors
    with _overheard() as lines:
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise LoadError(f"{told['file']}: {_reason(lines()) or error}") from error
    return server, server.listening_address


@contextlib.contextmanager
def _overheard() -> Iterator[Any]:
    """What is written to stderr within the block can be read there; it is passed on at its end."""
    with tempfile.TemporaryFile() as heard:
        stderr = os.dup(2)
        os.dup2(heard.fileno(), 2)

        def lines() -> list[str]:
            return os.pread(heard.fileno(), 1 << 20, 0).decode("utf-8", "replace").splitlines()

        try:
            yield lines
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            sys.stderr.writelines(f"{line}\n" for line in lines())
            sys.stderr.flush()


def _reason(lines: Iterable[str]) -> str:
    """Of the library's log what went wrong first: the rest only says that it did."""
    told = [line.partition(_ERROR)[2].strip() for line in lines if _ERROR in line]
    return next((line.partition(_CAUSE)[2] for line in told if _CAUSE in line), "; ".join(told[:2]))


def _serve_binary(told: dict[str, Any]) -> tuple["subprocess.Popen[str]", str]:
    """The named `llama-server`, with the same settings, on a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    counts = {"-c": told["slots"] * told["context"], "-np": told["slots"], "-b": told["batch"], "-ub": told["batch"]}
    counts |= {"-t": told["threads"], "-tb": told["threads"], "--threads-http": told["slots"] + 4, "--cache-ram": 0}
    flags = [text for flag, count in counts.items() for text in (flag, str(count))]
    switches = ["--no-kv-unified", "--swa-full", "--no-warmup", "--no-ui", "--no-jinja", "--chat-template", _TEMPLATE]
    switches += (
        ["--embeddings"] * told["embedding"] + ["--reranking"] * told["ranking"] + ["--no-repack"] * told["mapped"]
    )
    command = [told["binary"], "-m", told["file"], "--host", "127.0.0.1", "--port", str(port), *flags, *switches]
    environment = {**os.environ, "LLAMA_API_KEY": told["key"]}
    server = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        preexec_fn=_die_with_parent,
    )
    lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
    listener = threading.Thread(target=_pass_on, args=(server, lines), daemon=True)
    listener.start()
    address = f"http://127.0.0.1:{port}"
    while not _healthy(address):
        if server.poll() is not None:
            listener.join(1)
            told_by_it = _reason(lines) or "; ".join(list(lines)[-2:])
            raise LoadError(f"{told['binary']} ended with code {server.returncode}: {told_by_it}")
        time.sleep(0.05)
    threading.Thread(target=_end_with, args=(server,), daemon=True).start()
    return server, address


def _pass_on(server: "subprocess.Popen[str]", lines: "collections.deque[str]") -> None:
    """Keeps the last lines that the server says, and says them."""
    assert server.stderr is not None
    for line in server.stderr:
        lines.append(line.rstrip("\n"))
        sys.stderr.write(line)
        sys.stderr.flush()


def _end_with(server: "subprocess.Popen[str]") -> None:
    """A host whose server has died is no host."""
    server.wait()
    os._exit(1)


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=2) as response:  # noqa: S310 our own loopback address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main()
