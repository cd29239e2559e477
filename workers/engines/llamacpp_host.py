"""The engine host of `llamacpp`: llama.cpp's own HTTP server on a loopback port, behind a random key.

Runs as `python -m workers.engines.llamacpp_host`: one line of JSON on stdin says what to load, one on stdout where it
listens; when stdin closes, it ends. The server comes from the xllamacpp wheel, or is the `llama-server` binary that
the catalogue names.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any


def main() -> None:
    """Loads, says so, and stays until stdin closes."""
    told = json.loads(sys.stdin.readline())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if told["memory_bytes"]:
        resource.setrlimit(resource.RLIMIT_AS, (told["memory_bytes"], told["memory_bytes"]))
    # The library prints to file descriptor 1; the answer has it to itself.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        server, address = _serve_binary(told) if told["binary"] else _serve_wheel(told)
    except (RuntimeError, OSError) as error:
        print(json.dumps({"error": f"{told['file']}: {error}"}), file=answers, flush=True)
        sys.exit(1)
    print(json.dumps({"address": address}), file=answers, flush=True)
    sys.stdin.read()
    if isinstance(server, subprocess.Popen):
        server.kill()
    os._exit(0)  # nothing to save, and the library's threads need not be waited for


def _serve_wheel(told: dict[str, Any]) -> tuple[Any, str]:
    """llama.cpp's server inside this process. Raises `RuntimeError` for a file it can't load."""
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
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
    params.n_threads_http = told["slots"] + 4
    params.api_keys = [told["key"]]
    params.cache_ram_mib = 0
    params.warmup = False
    params.ui = False
    params.use_jinja = True
    params.verbosity = 0
    server = xllamacpp.Server(params)
    return server, server.listening_address


def _serve_binary(told: dict[str, Any]) -> tuple["subprocess.Popen[bytes]", str]:
    """The named `llama-server`, with the same settings, on a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    counts = {"-c": told["slots"] * told["context"], "-np": told["slots"], "-b": told["batch"], "-ub": told["batch"]}
    counts |= {"-t": told["threads"], "-tb": told["threads"], "--threads-http": told["slots"] + 4, "--cache-ram": 0}
    flags = [text for flag, count in counts.items() for text in (flag, str(count))]
    switches = ["--no-kv-unified", "--no-warmup", "--no-ui", "--jinja"] + ["--embeddings"] * told["embedding"]
    command = [told["binary"], "-m", told["file"], "--host", "127.0.0.1", "--port", str(port), *flags, *switches]
    server = subprocess.Popen(
        command, env={**os.environ, "LLAMA_API_KEY": told["key"]}, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent
    )
    address = f"http://127.0.0.1:{port}"
    while not _healthy(address):
        if server.poll() is not None:
            raise RuntimeError(f"{told['binary']} ended with code {server.returncode}")
        time.sleep(0.05)
    threading.Thread(target=_end_with, args=(server,), daemon=True).start()
    return server, address


def _end_with(server: "subprocess.Popen[bytes]") -> None:
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
