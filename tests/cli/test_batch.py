"""`forebay batch` against a running platform; what it makes of folders and tables, and of answers."""

import csv
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cli.client import batch, batch_answers, batch_sources
from cli.client import client as api
from cli.client.batch_sources import Asking
from cli.client.client import Client
from cli.main import main
from tests.cli.terminal import INTERRUPT, terminal
from tests.support import waiting
from tests.support.platform import Stack

SLOW = "echo"  # says its prompt again, a token in 20 ms


def forebay(stack: Stack, *argv: str | Path) -> Result:
    env = {"FOREBAY_URL": stack.url, "FOREBAY_KEY": stack.key}
    return CliRunner().invoke(main, ["batch", *map(str, argv)], env=env)


def prompts(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def lines_of(source: Path, **how: Any) -> list[dict[str, Any]]:
    with batch_sources.opened(source, Asking(model="m", **how)) as made:
        return [json.loads(line) for line in made.read_text().splitlines()]


def test_a_folder_of_prompts_is_a_batch_in_one_command(stack: Stack, tmp_path: Path) -> None:
    """Asked with a system prompt, followed to its end, and brought back into files of the same names."""
    folder, system, out = prompts(tmp_path / "in", a="one", b__c="two"), tmp_path / "system.md", tmp_path / "out"
    system.write_text("Be brief.")
    made = forebay(stack, "create", folder, "--model", SLOW, "--system", system, "--max-tokens", "40", "--watch")
    assert made.exit_code == 0, made.output
    batch_id = made.stdout.strip()
    assert f"{batch_id} completed: 2 of 2 answered, 0 failed" in made.stderr
    brought = forebay(stack, "results", batch_id, "--out", out)
    assert brought.exit_code == 0, brought.output
    assert brought.stderr == f"2 answers, 0 errors, in {out}\n"
    for path, prompt in ((out / "a.txt", "one"), (out / "b" / "c.txt", "two")):
        assert set(path.read_text().strip()) <= set(f"Be brief.\n {prompt}")
        assert path.read_text().strip()
    assert batch_id in forebay(stack, "list").stdout


def test_a_table_with_a_template_is_asked_row_by_row(stack: Stack, tmp_path: Path) -> None:
    """And comes back as a table."""
    table, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    table.write_text('text,custom_id\none,first\n"two,\nthree",\n')
    made = forebay(stack, "create", table, "--model", SLOW, "--template", "Say {text}")
    assert made.exit_code == 0, made.output
    batch_id = made.stdout.strip()
    assert forebay(stack, "results", "-f", batch_id, "--out", out).exit_code == 0
    with out.open(newline="") as opened:
        rows = {row["custom_id"]: row for row in csv.DictReader(opened)}
    assert rows.keys() == {"first", "row-2"}
    assert rows["first"]["answer"]
    assert set(rows["first"]["answer"]) <= set("Say one")
    assert rows["row-2"]["status"] == "succeeded"


def test_a_file_is_checked_before_it_is_sent_to_be_run(stack: Stack, tmp_path: Path) -> None:
    """What is wrong is told by its line; nothing is kept of it."""
    right = prompts(tmp_path / "in", a="one", b="two")
    checked = forebay(stack, "check", right, "--model", SLOW)
    assert checked.exit_code == 0, checked.output
    assert "2 requests, all right" in checked.stdout
    assert f"{SLOW}: 2 requests, about" in checked.stdout
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"custom_id": "a"}\n')
    refused = forebay(stack, "check", wrong)
    assert (refused.exit_code, "line 1: method" in refused.stdout) == (1, True)
    wrong.write_text("{\n")
    assert forebay(stack, "check", wrong).stdout.startswith("line 1: the line isn't JSON at column 2")
    wrong.write_text('{"custom_id": "a"}\n')
    with Client(stack.url, stack.key) as client:
        kept = len(client.batches(100))
    never = forebay(stack, "create", wrong, "--window", "never")
    assert (never.exit_code, "--window" in never.stderr, "sending" in never.stderr) == (2, True, False)
    with Client(stack.url, stack.key) as client:
        assert len(client.batches(100)) == kept
    failed = forebay(stack, "create", wrong, "--watch")
    assert failed.exit_code == 1
    assert "line 1: method" in failed.stderr
    assert failed.stderr.endswith(" failed\n")
    brought = forebay(stack, "results", failed.stdout.strip())
    assert (brought.exit_code, brought.stdout) == (1, "")
    assert "line 1: method" in brought.stderr


@pytest.mark.parametrize(
    ("lines", "unbounded", "said"),
    [
        (2, 0, "at most 40 of answers"),
        (3, 1, "at most 40 of answers, and 1 answer of any length"),
        (1, 1, "answers of any length"),
    ],
)
def test_a_check_says_which_answers_have_no_bound(lines: int, unbounded: int, said: str) -> None:
    """They may cost whatever the model lets them."""
    model = {"model": "m", "lines": lines, "prompt_tokens": 8, "bytes_per_token": 4.0, "bytes_per_token_measured": True}
    model |= {"most_completion_tokens": 40 if lines > unbounded else 0, "unbounded_lines": unbounded}
    model |= {"answered_lines": 0}
    assert batch.told(checked(lines, model))[1].endswith(f"(4.0 bytes a token, as measured), {said}")


def checked(lines: int, *models: dict[str, Any]) -> dict[str, Any]:
    found = {"lines": lines, "valid": True, "models": models, "warnings": []}
    return found | {"largest_line": None, "estimated_s": None}


def test_a_check_warns_of_lines_by_their_numbers() -> None:
    warning = {"code": "context_length_exceeded", "message": "about 70 tokens", "line": 3, "param": "body"}
    assert batch.told(checked(3) | {"warnings": [warning]})[-1] == "warning: line 3: body: about 70 tokens"


def test_what_is_wrong_with_many_lines_is_told_once() -> None:
    """With the numbers of some of them; and that there may be more, where the API tells no more."""
    errors: list[dict[str, Any]] = [
        {"message": "no model 'x'", "line": line, "param": "model"} for line in range(1, 100)
    ]
    told = "lines 1, 2, 3, 4, 5 and 94 more: model: no model 'x'"
    whole = {"message": "the file has no lines", "line": None, "param": None}
    assert batch.wrongs(errors) == [told]
    assert batch.wrongs([*errors, whole]) == [told, "the file has no lines", "only the first hundred are told"]


def test_what_was_cancelled_is_asked_again(stack: Stack, tmp_path: Path) -> None:
    """Under another id, which has all answers in the end."""
    folder = prompts(tmp_path / "in", **{f"p{n}": "word " * 200 for n in range(30)})
    made = forebay(stack, "create", folder, "--model", SLOW)
    batch_id = made.stdout.strip()
    assert f"`forebay batch watch {batch_id}` follows it" in made.stderr
    with Client(stack.url, stack.key) as client:
        waiting.until(lambda: client.batch(batch_id)["request_counts"]["completed"], look_s=0.05)
    running = forebay(stack, "results", batch_id)
    assert running.exit_code == 3
    assert f"`forebay batch results -f --after {len(running.stdout.splitlines())} {batch_id}`" in running.stderr
    assert forebay(stack, "cancel", batch_id).stdout.strip() in ("cancelling", "cancelled")
    watched = forebay(stack, "watch", batch_id)
    assert watched.exit_code == 1
    assert f"`forebay batch retry-failed {batch_id}`" in watched.stderr
    assert " failed (batch_cancelled: " in watched.stderr
    assert forebay(stack, "results", "-f", batch_id).exit_code == 1
    again = forebay(stack, "retry-failed", batch_id, "--watch")
    assert again.exit_code == 0, again.output
    assert "30 of 30 answered" in again.stderr
    lines = [json.loads(line) for line in forebay(stack, "results", again.stdout.strip()).stdout.splitlines()]
    assert len({line["custom_id"] for line in lines}) == 30


def test_failures_are_told_by_their_reason_and_asked_again_only_where_that_helps(stack: Stack, tmp_path: Path) -> None:
    """Not where the requests themselves are at fault: they would fail alike."""
    folder = prompts(tmp_path / "in", long="word " * 5000, short="one")
    made = forebay(stack, "create", folder, "--model", SLOW, "--watch", "--max-tokens", "9")
    assert made.exit_code == 1
    assert "1 of 2 answered, 1 failed (context_length_exceeded: 1)" in made.stderr
    assert "retry-failed" not in made.stderr


def test_ctrl_c_leaves_it_running_and_says_how_to_go_on(stack: Stack, tmp_path: Path) -> None:
    """With the status that shells give to what was interrupted."""
    folder = prompts(tmp_path / "in", **{f"p{n}": "word " * 300 for n in range(30)})
    batch_id = forebay(stack, "create", folder, "--model", SLOW).stdout.strip()
    options = ("--url", stack.url, "--key", stack.key)
    with terminal("batch", "watch", batch_id, *options) as shown:
        shown.expect(batch_id)
        shown.type(INTERRUPT)
        shown.expect(f"`forebay batch watch {batch_id}`")
        assert shown.status() == 130
    with Client(stack.url, stack.key) as client:
        assert client.cancel_batch(batch_id)["status"] in ("cancelling", "in_progress", "finalizing")


def test_an_api_that_is_away_is_waited_for(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a minute, which is told; then the command says so."""
    monkeypatch.setattr(api, "_PATIENCE_S", 0)
    monkeypatch.setattr(api, "_UNTOLD_S", 0)
    gone = CliRunner().invoke(main, ["batch", "list", "--url", "http://127.0.0.1:9", "--key", "fb_x"])
    assert (gone.exit_code, "doesn't answer" in gone.output) == (1, True)
    assert "--url or FOREBAY_URL" in gone.output
    assert "doesn't answer: Connection refused; trying again for a minute\n" in gone.output
    monkeypatch.undo()
    moved = {"url": "http://127.0.0.1:9"}
    with Client(moved["url"], stack.key) as client:
        back = threading.Timer(1.0, lambda: setattr(client._http, "base_url", stack.url))
        back.start()
        assert isinstance(client.batches(1), list)
        back.join()


class OnceThere(BaseHTTPRequestHandler):
    """An API that tells of a batch that runs, and is gone after that."""

    def do_GET(self) -> None:
        counts = {"total": 9, "completed": 0, "failed": 0}
        body = json.dumps({"id": "batch_1", "status": "in_progress", "request_counts": counts}).encode()
        self.server.socket.close()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_who_gives_up_on_an_api_is_told_that_the_batch_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address was right a minute ago, so nothing is said of others."""
    monkeypatch.setattr(api, "_PATIENCE_S", 0)
    server = HTTPServer(("127.0.0.1", 0), OnceThere)
    once = threading.Thread(target=server.handle_request)
    once.start()
    argv = ["batch", "watch", "batch_1", "--url", f"http://127.0.0.1:{server.server_port}", "--key", "fb_x"]
    gone = CliRunner().invoke(main, argv)
    once.join()
    assert gone.exit_code == 1
    assert "batch_1 isn't lost: `forebay batch watch batch_1` shows it again" in gone.stderr
    assert "--url" not in gone.stderr


def test_ctrl_c_before_the_id_says_how_to_look_for_a_batch(tmp_path: Path) -> None:
    """Here while the file is sent to who never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        folder = prompts(tmp_path / "in", a="one")
        argv = ("batch", "create", str(folder), "--model", "m", "--url", url, "--key", "fb_x")
        with terminal(*argv) as shown, silent.accept()[0]:
            shown.type(INTERRUPT)
            shown.expect("`forebay batch list` shows whether a batch was made")
            assert shown.status() == 130


def test_prompts_are_named_after_their_files_and_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hidden files, other kinds and empty ones are left out, which is told; a template has a text and a name."""
    folder = prompts(tmp_path / "in", b="B", a__a="A", empty=" \n", **{".hidden": "x"})
    (folder / "picture.png").write_bytes(b"\xff")
    made = lines_of(folder, template="{{{name}}}: {text}", params={"temperature": 0}, max_tokens=7)
    assert [line["custom_id"] for line in made] == ["a/a.txt", "b.txt"]
    told = [line.removeprefix("left out, ") for line in capsys.readouterr().err.splitlines()]
    assert told == ["empty: 1 (empty.txt)", "hidden: 1 (.hidden.txt)", "of another kind: 1 (picture.png)"]
    assert made[1]["body"] == {
        "model": "m",
        "messages": [{"role": "user", "content": "{b.txt}: B"}],
        "temperature": 0,
        "max_completion_tokens": 7,
    }


@pytest.mark.parametrize(
    ("name", "content", "how", "said"),
    [
        ("rows.csv", b"text\none\n", {}, "--template is needed"),
        ("rows.csv", b"text\none\n", {"template": "{other}"}, "is none of text"),
        ("rows.csv", b"text\n\xff\n", {"template": "{text}"}, "can't be read"),
        ("rows.csv", b"text\n", {"template": "{text}"}, "has no prompts"),
        ("rows.csv", b"a,b\n1,2\n3\n", {"template": "{a}"}, "row 2 of .* has fewer values"),
        ("rows.csv", b"a,b\n1,2,3\n", {"template": "{a}"}, "row 1 of .* has more values"),
        ("rows.csv", b"text\none\n", {"template": "{text} {x"}, "stands alone"),
        ("rows.csv", b"text\none\n", {"template": "{text}}"}, "stands alone"),
        ("lines.jsonl", b"{}\n", {}, "has its requests already"),
    ],
)
def test_what_cannot_be_a_batch_is_said(
    tmp_path: Path, name: str, content: bytes, how: dict[str, Any], said: str
) -> None:
    """Before anything is sent."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(click.UsageError, match=said):
        lines_of(tmp_path / name, **how)


def test_the_endpoint_of_a_file_is_its_first_requests(tmp_path: Path) -> None:
    """Chats where it doesn't say."""
    path = tmp_path / "lines.jsonl"
    for text, wanted in (('\n{"url": "/v1/embeddings"}\n', "/v1/embeddings"), ("none", "/v1/chat/completions")):
        path.write_text(text)
        assert batch_sources.endpoint(path) == wanted


def result(custom_id: str, body: dict[str, Any] | None, error: dict[str, str] | None = None, status: int = 200) -> Any:
    response = None if body is None else {"status_code": status, "body": body}
    return {"number": 1, "custom_id": custom_id, "response": response, "error": error}


def test_answers_are_written_below_their_folder_whatever_they_are_called(tmp_path: Path) -> None:
    """What has no text as JSON; errors in a folder of their own."""
    said = {"choices": [{"message": {"content": "Hi"}}]}
    with batch_answers.sink(tmp_path / "out") as sink:
        sink.take(result("../../x", said))
        sink.take(result("/etc/a:b", said))
        sink.take(result("", {"data": [1]}))
        sink.take(result("wrong", {"error": {"code": "c", "message": "m"}}, status=400))
        sink.take(result("gone", None, {"code": "batch_expired", "message": "late"}))
        sink.take(result("claude", {"content": [{"type": "text", "text": "Yo"}]}))
    written = {
        path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()
    }
    assert written == {
        "out/_/_/x.txt": "Hi\n",
        "out/etc/a_b.txt": "Hi\n",
        "out/_.txt": '{"data": [1]}\n',
        "out/errors/wrong.txt": "c: m\n",
        "out/errors/gone.txt": "batch_expired: late\n",
        "out/claude.txt": "Yo\n",
    }


def test_no_answer_is_written_over_another_or_stops_the_rest(tmp_path: Path) -> None:
    """Whichever names are alike, are another's folder, too long for a file, or those of the errors' folder."""
    names = ["a", "a.txt", "../x", "_/x", "a.txt/q", "b.txt/q", "b.txt", "ä" * 200, "errors/e", "errors", "last"]
    with batch_answers.sink(tmp_path) as sink:
        for name in names:
            sink.take(result(name, {"choices": [{"text": f"to {name}"}]}))
        sink.take(result("e", {"error": {"code": "c", "message": "m"}}, status=400))
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(texts) == sorted([*(f"to {name}\n" for name in names), "c: m\n"])
    assert (tmp_path / "a.txt").read_text() == "to a\n"
    assert [path.name for path in (tmp_path / "errors").iterdir()] == ["e.txt"]


def test_a_file_of_another_kind_is_no_folder_unless_it_is_one(tmp_path: Path) -> None:
    """Rather it is a mistake."""
    with pytest.raises(click.UsageError, match=r"ends in \.csv or \.jsonl"), batch_answers.sink(tmp_path / "out.txt"):
        pass
    (tmp_path / "out.txt").mkdir()
    with batch_answers.sink(tmp_path / "out.txt") as sink:
        sink.take(result("a", {"choices": [{"text": "Hi"}]}))
    assert (tmp_path / "out.txt" / "a.txt").read_text() == "Hi\n"


def test_answers_that_go_on_leave_those_of_the_folder(tmp_path: Path) -> None:
    """The one that is brought again stays one file."""
    said = [result(name, {"choices": [{"text": f"to {name}"}]}) for name in ("a", "a.txt")]
    for line, goes_on in ((said[0], False), (said[1], True), (said[0], True), (said[1], True)):
        with batch_answers.sink(tmp_path, goes_on=goes_on) as sink:
            sink.take(line)
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["to a\n", "to a.txt\n"]


@pytest.mark.parametrize("name", ["answers.csv", "answers.jsonl"])
def test_results_that_go_on_come_after_those_that_were_brought(tmp_path: Path, name: str) -> None:
    """A table's names are above them once. Who begins anew has only what is new."""
    out, said = tmp_path / name, {"choices": [{"message": {"content": "Hi"}}]}

    def bring(*names: str, goes_on: bool) -> list[str]:
        with batch_answers.sink(out, goes_on=goes_on) as sink:
            for each in names:
                sink.take(result(each, said))
        with out.open(newline="") as opened:
            rows = csv.DictReader(opened) if name.endswith(".csv") else map(json.loads, opened)
            return [row["custom_id"] for row in rows]

    assert bring("a", "b", goes_on=False) == ["a", "b"]
    assert bring("c", goes_on=True) == ["a", "b", "c"]
    assert bring("d", goes_on=False) == ["d"]
    out.unlink()
    assert bring("e", goes_on=True) == ["e"]


def test_ctrl_c_says_where_the_rest_is_to_be_brought(stack: Stack, tmp_path: Path) -> None:
    """With the number of the last that was, into the file that has the others."""
    folder, out = prompts(tmp_path / "in", **{f"p{n}": "word " * 300 for n in range(30)}), tmp_path / "my answers.csv"
    batch_id = forebay(stack, "create", folder, "--model", SLOW).stdout.strip()
    options = ("--url", stack.url, "--key", stack.key)
    with terminal("batch", "results", "-f", batch_id, "--out", str(out), *options) as shown:
        waiting.until(lambda: out.exists() and out.read_text().count("succeeded"), look_s=0.05)
        shown.type(INTERRUPT)
        said = " ".join(shown.expect("brings the rest").split())
        assert shown.status() == 130
    with out.open(newline="") as opened:
        brought = len(list(csv.DictReader(opened)))
    assert f"--after {brought} --out '{out}' {batch_id}`" in said
    with Client(stack.url, stack.key) as client:
        client.cancel_batch(batch_id)
