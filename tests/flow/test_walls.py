"""What a whole platform keeps to itself: prompts, keys, Flower; and its page, fuzzed."""

import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
from psycopg import sql

from tests.flow.conftest import Walled
from tests.support.platform import ROOT
from tests.support.waiting import until

FUZZ_S = float(os.environ.get("FUZZ_S", "4"))  # minutes of it by `make fuzz`
FUZZ_SEED = os.environ.get("FUZZ_SEED", "1")
# Where what tenants say may be; what is in Redis expires, which the test brings forward.
TABLES_OF_TENANTS = {
    "jobs", "job_outputs", "collections", "documents", "document_texts", "chunks",
}  # fmt: skip


def shown(walled: Walled) -> str:
    """All that Flower knows of tasks and workers, asked anew."""
    paths = ("/api/workers?refresh=true", "/api/tasks", "/tasks", "/metrics")
    return "".join(walled.flower.get(path).text for path in paths)


def say_everywhere(walled: Walled, word: str) -> None:
    """Has the word in everything a client can send, in what succeeds and in what fails."""
    http, note = walled.http, {"note": word}
    assert word in walled.ended(type="generate", input={"prompt": f"{word} {word}"}, metadata=note)["result"]["text"]
    walled.ended(type="chat", input={"messages": [{"role": "user", "content": word}]})
    walled.ended(type="embed", input={"texts": [word]})
    too_long = walled.ended(type="generate", input={"prompt": f"{word} " * 300})
    assert too_long["status"] == "failed"
    assert word not in json.dumps(too_long["error"])
    texts = [{"text": f"{word} one", "title": word, "metadata": note}]
    walled.wait(http.post("/v1/documents", json={"collection": word, "documents": texts}).json())
    files = [("file", (f"{word}.md", word.encode())), ("file", ("a.pdf", f"%PDF-1.7 {word}".encode()))]
    brought = walled.wait(http.post("/v1/documents", data={"collection": word}, files=files).json())
    assert {document["status"] for document in brought["result"]["documents"]} == {"ready", "failed"}
    assert http.post("/v1/search", json={"collection": word, "query": word}).json()["results"]
    walled.ended(type="rag", input={"question": word, "collection": word})
    for wrong in ({"type": word}, {"type": "generate", "input": {"prompt": word}, "model": word}, {word: word}):
        assert http.post("/v1/jobs", json=wrong).status_code == 422
    json_type = {"Content-Type": "application/json"}
    assert http.post("/v1/jobs", content=f'{{"{word}', headers=json_type).status_code == 400
    assert http.get(f"/v1/jobs?model={word}").status_code == 200
    assert http.get(f"/v1/{word}").status_code == 404
    assert http.get("/v1/jobs", headers={"Authorization": f"Bearer fb_0123456789_{word}"}).status_code == 401


def files_with(folder: Path, words: list[str]) -> set[str]:
    """The files in the folder, those of the servers aside, that have any of the words."""
    kept = [path for path in folder.rglob("*") if path.is_file() and {"postgres", "redis"}.isdisjoint(path.parts)]
    assert any(path.suffix == ".log" for path in kept)
    return {path.name for path in kept if any(word.encode() in path.read_bytes() for word in words)}


def tables_with(url: str, word: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        query = sql.SQL("SELECT count(*) FROM {table} AS one WHERE one::text LIKE {pattern}")
        return {
            name
            for (name,) in rows
            for found in connection.execute(query.format(table=sql.Identifier(name), pattern=f"%{word}%"))
            if found[0]
        }


def entries_with(client: redis.Redis, words: list[str]) -> set[bytes]:
    """The keys of Redis that have any of the words, in their names or values."""
    found = set()
    for key in client.scan_iter():
        value = client.dump(key) or b""
        if client.type(key) == b"stream":
            value = repr(client.xrange(key)).encode()
        if any(word.encode() in key + value for word in words):
            found.add(key)
    return found


def test_what_clients_say_is_found_in_its_tables_and_nowhere_else(walled: Walled) -> None:
    """Not in logs, errors, usage or what Flower shows; in Redis only in streams, which expire. A key, nowhere."""
    word, secret = f"canary{uuid.uuid4().hex}", walled.stack.key.split("_", 2)[2]
    walled.await_flower()
    until(lambda: "job.run" in shown(walled), look_s=0.1)
    say_everywhere(walled, word)
    url = walled.setting("FOREBAY_DATABASE_URL")
    assert tables_with(url, word) == TABLES_OF_TENANTS
    assert tables_with(url, secret) == set()
    assert files_with(walled.stack.data, [word]) == set()
    assert files_with(walled.stack.data, [secret]) == {"secrets.json"}
    client = redis.Redis.from_url(walled.setting("FOREBAY_REDIS_URL"))
    streams = entries_with(client, [word])
    assert streams
    for key in streams:
        assert key.startswith(b"forebay:stream:")
        assert 0 < client.ttl(key) <= 900
        client.expire(key, 0)
    assert entries_with(client, [word, secret]) == set()
    client.close()
    assert word not in shown(walled)
    assert secret not in shown(walled)


def test_flower_is_closed_without_its_password(walled: Walled) -> None:
    """Pages, API, metrics and health; with it, one can look and change nothing. It listens on this machine only."""
    walled.await_flower()
    node = walled.nodes()[0]
    pages = ["/", "/workers", "/tasks", "/broker", f"/worker/{node}"]
    paths = [*pages, "/api/workers", "/api/tasks", "/metrics", "/healthcheck"]
    changes = [f"/api/worker/shutdown/{node}", "/api/task/async-apply/job.run"]
    for login in (None, ("forebay", "wrong"), ("", "")):
        with httpx.Client(base_url=walled.flower.base_url, auth=login, timeout=20) as stranger:
            assert {stranger.get(path).status_code for path in paths} == {401}
            assert {stranger.post(path, json={"args": ["x"]}).status_code for path in changes} == {401}
    assert walled.flower.get("/metrics").text.startswith("#")
    assert {walled.flower.post(path, json={"args": ["x"]}).status_code for path in changes} == {403}
    hosts = {
        connection.laddr.ip for connection in walled.stack.started("flower").net_connections() if not connection.raddr
    }
    assert hosts == {"127.0.0.1"}


def test_flower_dies_and_nobody_misses_it(walled: Walled) -> None:
    """Jobs go on without it, and it comes back."""
    flower = walled.stack.started("flower")
    flower.send_signal(signal.SIGKILL)
    flower.wait(60)
    assert walled.ended(type="generate", input={"prompt": "one two"})["status"] == "succeeded"
    walled.await_flower()


@pytest.mark.parametrize("login", [None, ""])
def test_flower_without_a_password_does_not_start(login: str | None) -> None:
    """The Procfile's line refuses rather than open its page to everyone."""
    line = next(line for line in (ROOT / "Procfile").read_text().splitlines() if line.startswith("flower: "))
    env = {name: value for name, value in os.environ.items() if name != "FLOWER_BASIC_AUTH"}
    env |= {"FLOWER_BASIC_AUTH": login} if login is not None else {}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    ended = subprocess.run(["sh", "-c", line.removeprefix("flower: ")], env=env, cwd=ROOT, capture_output=True)
    assert ended.returncode != 0
    assert b"user:password" in ended.stderr


@pytest.mark.parametrize("with_key", [True, False])
def test_whatever_is_asked_is_answered_as_the_page_says(walled: Walled, tmp_path: Path, with_key: bool) -> None:
    """Schemathesis finds no 5xx but a 503, no undocumented status or shape, and no way around the key."""
    argv = ["run", f"{walled.stack.url}/openapi.json", "--checks", "all", "--no-color", "--seed", FUZZ_SEED]
    argv += ["--max-time", f"{FUZZ_S if with_key else FUZZ_S / 4:g}", "--suppress-health-check", "all"]
    argv += ["--header", f"Authorization: Bearer {walled.stack.key}"] if with_key else []
    config = ["--config-file", str(ROOT / "benchmarks" / "schemathesis.toml")]
    script = str(Path(sys.executable).parent / "schemathesis")
    ran = subprocess.run([script, *config, *argv], cwd=tmp_path, capture_output=True, text=True, timeout=FUZZ_S + 200)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {child.pid for child in walled.stack.started("api").children()}
