"""`forebay batch`: many requests handed over at once, followed, and brought back."""

import shlex
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from cli.client import batch_answers, batch_sources, columns, progress, submit, wording
from cli.client import client as api
from cli.client.batch_sources import Asking
from cli.client.client import ApiError, Client, Unreachable
from tasks.batches import windows

_LOOK_S = 1.0
_TOLD_AT_ONCE = 100  # the API tells no more of what is wrong
_NAMED = 5  # lines, where more are wrong in the same way
_STILL_RUNS = 3  # status of a command that would have brought more later
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ENDS = frozenset({"completed", "failed", "expired", "cancelled"})

Batch = dict[str, Any]


@click.group()
def batch() -> None:
    """Have many requests answered: a file of them, a folder of prompts, or a table with a template."""


def _source(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command its SOURCE and how the prompts in it are asked; calls it with the file of requests."""

    @click.argument("source", metavar="FILE.jsonl|FOLDER|TABLE.csv", type=click.Path(exists=True, path_type=Path))
    @click.option("--model", help="What prompts are asked of.")
    @click.option("--system", type=_FILE, metavar="FILE", help="What the model should know before each prompt.")
    @click.option("--template", help='The prompt of each row, as in "Summarise: {text}".')
    @click.option("--max-tokens", type=click.IntRange(1), help="Of each answer, at most.")
    @click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="As in --param temperature=0.")
    @click.option("--endpoint", help="Of a file of requests; else that of its first.")
    @wraps(command)
    def wrapper(source: Path, endpoint: str | None, **given: Any) -> Any:
        how = {name: given.pop(name) for name in ("model", "template", "max_tokens")}
        how["system"] = None if (system := given.pop("system")) is None else system.read_text(encoding="utf-8")
        how["params"] = dict(submit.assignment("--param", param) for param in given.pop("params"))
        with batch_sources.opened(source, Asking(**how)) as requests:
            asked = endpoint or batch_sources.endpoint(requests)
            return command(requests=requests, endpoint=asked, **given)

    return wrapper


@batch.command()
@_source
@api.options
def check(client: Client, requests: Path, endpoint: str) -> None:
    """Look whether all requests are right, and what they come to, without running any; status 1 unless they are."""
    file = client.send_file(requests)
    try:
        found = client.check_batch({"input_file_id": file["id"], "endpoint": endpoint})
    finally:
        client.delete_file(file["id"])
    for line in [*wrongs(found["errors"]), *told(found)]:
        click.echo(line)
    if not found["valid"]:
        sys.exit(1)


@batch.command()
@_source
@click.option(
    "--window",
    default="24h",
    show_default=True,
    callback=lambda _context, _option, given: _window(given),
    help="Within which it is to end, as 30m, 2h or 7d.",
)
@click.option("--metadata", "labels", metavar="NAME=VALUE", multiple=True, help="Kept with the batch.")
@click.option("--watch", "watched", is_flag=True, help="Follow it to its end.")
@api.options
def create(client: Client, requests: Path, endpoint: str, window: str, labels: tuple[str, ...], watched: bool) -> None:
    """Have the requests of a file, a folder or a table answered; prints the batch's id."""
    metadata = {name: value for name, _, value in (label.partition("=") for label in labels)}
    _say(f"sending {requests.name}, {requests.stat().st_size} bytes")
    with _no_id_yet():
        file = client.send_file(requests)
        given = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": window, "metadata": metadata}
        try:
            made = client.create_batch(given, uuid.uuid4().hex)
        except ApiError:
            client.delete_file(file["id"])
            raise
    _made(client, made["id"], watched)


@batch.command("list")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True, help="At most so many.")
@api.options
def list_(client: Client, limit: int) -> None:
    """List the newest batches, the newest first."""
    rows = [("id", "status", "endpoint", "done", "failed", "of")]
    for one in client.batches(limit):
        counts = one["request_counts"]
        done = (str(counts[name]) for name in ("completed", "failed", "total"))
        rows.append((one["id"], one["status"], one["endpoint"], *done))
    click.echo(columns.aligned(rows))


@batch.command()
@click.argument("batch_id", metavar="ID")
@api.options
def watch(client: Client, batch_id: str) -> None:
    """Follow the batch ID to its end; status 1 unless all its requests were answered. After Ctrl-C it goes on."""
    _watched(client, batch_id)


@batch.command()
@click.argument("batch_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Those that are still to come too, to the last.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only those after that number.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder, or a file that ends in .csv or .jsonl.")
@api.options
def results(client: Client, batch_id: str, follow: bool, after: int, out: Path | None) -> None:
    """Bring the results of the batch ID: those that are there, in the order in which they came.

    As lines on stdout, or into --out: a file for each, called as its request is, or a row. With --after, rows come
    after those that the file has. Status 1 unless the batch is completed and all its requests were answered; 3 while
    it runs.
    """
    last, told, now = after, Counter[bool](), client.batch(batch_id)
    try:
        with batch_answers.sink(out, goes_on=after > 0) as sink:
            for line in client.batch_results(batch_id, after, follow=follow):
                sink.take(line)
                last = line["number"]
                told[batch_answers.error(line) is None] += 1
        now = client.batch(batch_id) if follow else now
    except (KeyboardInterrupt, Unreachable) as error:
        _say(f"\n{_rest(batch_id, last, out)} brings the rest")
        _leave(error)
    if out is not None:
        _say(f"{wording.count(told[True], 'answer')}, {wording.count(told[False], 'error')}, in {out}")
    if now["status"] not in _ENDS:
        _say(f"{batch_id} is {now['status']}: {_rest(batch_id, last, out)} brings the rest")
        sys.exit(_STILL_RUNS)
    if not _is_answered(now):
        _tell_end(client, now)
        sys.exit(1)


@batch.command("retry-failed")
@click.argument("batch_id", metavar="ID")
@click.option("--watch", "watched", is_flag=True, help="Follow it to its end.")
@api.options
def retry_failed(client: Client, batch_id: str, watched: bool) -> None:
    """Ask again what the batch ID has no answer to; prints the id of the new batch, which has the other answers too."""
    with _no_id_yet():
        made = client.retry_batch(batch_id, uuid.uuid4().hex)
    _made(client, made["id"], watched)


@batch.command()
@click.argument("batch_id", metavar="ID")
@api.options
def cancel(client: Client, batch_id: str) -> None:
    """Cancel the batch ID: what was answered stays."""
    click.echo(client.cancel_batch(batch_id)["status"])


def _watched(client: Client, batch_id: str) -> None:
    """Shows how far the batch is; ends the command with status 1 unless all is answered, 130 after Ctrl-C."""
    try:
        ended = followed(client, batch_id)
    except (KeyboardInterrupt, Unreachable) as error:
        if not client.reached:
            raise
        stays = "goes on" if isinstance(error, KeyboardInterrupt) else "isn't lost"
        _say(f"\n{batch_id} {stays}: `forebay batch watch {batch_id}` shows it again,")
        _say(f"`forebay batch results -f {batch_id}` brings what comes, `forebay batch cancel {batch_id}` ends it")
        _leave(error)
    _tell_end(client, ended)
    if not _is_answered(ended):
        sys.exit(1)


def _made(client: Client, batch_id: str, watched: bool) -> None:
    """Prints the id of a batch that was made, and follows it or says what does."""
    click.echo(batch_id)
    if watched:
        _watched(client, batch_id)
    else:
        _say(f"`forebay batch watch {batch_id}` follows it, `forebay batch results -f {batch_id}` brings the answers")


@contextmanager
def _no_id_yet() -> Iterator[None]:
    """Whoever presses Ctrl-C in here can't know whether a batch was made, and is told how to find out."""
    try:
        yield
    except KeyboardInterrupt:
        _say("\ninterrupted: `forebay batch list` shows whether a batch was made; it goes on where there is one")
        sys.exit(130)


def _leave(error: KeyboardInterrupt | Unreachable) -> NoReturn:
    """Ends the command once it is said how to go on."""
    if isinstance(error, KeyboardInterrupt):
        sys.exit(130)
    raise error


def _rest(batch_id: str, last: int, out: Path | None) -> str:
    """The command that brings a batch's results after the last that came, to where the others are."""
    into = f" --out {shlex.quote(str(out))}" if out else ""
    return f"`forebay batch results -f --after {last}{into} {batch_id}`"


def _is_answered(ended: Batch) -> bool:
    """Whether each request of a batch has an answer."""
    return ended["status"] == "completed" and not ended["request_counts"]["failed"]


def _tell_end(client: Client, ended: Batch) -> None:
    """Says how a batch ended, what was wrong, and what can be done about it."""
    batch_id, counts = ended["id"], ended["request_counts"]
    for sentence in wrongs((ended["errors"] or {"data": []})["data"]):
        _say(sentence)
    failures = client.file_lines(ended["error_file_id"]) if ended["error_file_id"] else []
    done = f": {counts['completed']} of {counts['total']} answered, {counts['failed']} failed{why(failures)}"
    _say(f"{batch_id} {ended['status']}{done if counts['total'] else ''}")
    if not all(batch_answers.is_refused(line) for line in failures):
        _say(f"`forebay batch retry-failed {batch_id}` asks those again")


def followed(client: Client, batch_id: str) -> Batch:
    """The batch as it ended, however long that takes; meanwhile how far it is."""
    now = client.batch(batch_id)
    while now["status"] == "validating":
        time.sleep(_LOOK_S)
        now = client.batch(batch_id)
    total, seen = now["request_counts"]["total"], 0
    if now["status"] not in _ENDS:
        _say(f"{batch_id}: {wording.count(total, 'request')}")
    with progress.bar(batch_id, total) as bar:
        while True:
            done = now["request_counts"]["completed"] + now["request_counts"]["failed"]
            bar.advance(done - seen)
            seen = done
            if now["status"] in _ENDS:
                return now
            time.sleep(_LOOK_S)
            now = client.batch(batch_id)


def told(found: dict[str, Any]) -> list[str]:
    """What a check found, in a few lines."""
    lines = [f"{wording.count(found['lines'], 'request')}, {_verdict(found)}"]
    for model in found["models"]:
        by = "as measured" if model["bytes_per_token_measured"] else "as is usual"
        lines.append(
            f"{model['model']}: {wording.count(model['lines'], 'request')}, about {model['prompt_tokens']} tokens of"
            f" prompts ({model['bytes_per_token']} bytes a token, {by}),"
            f" {_answers(model)}"
        )
    if (largest := found["largest_line"]) is not None:
        where = f"line {largest['line']}, {largest['custom_id']}"
        lines.append(f"the largest request is {where}: {largest['bytes']} bytes, as it is sent")
    lines += [f"warning: {warning}" for warning in wrongs(found["warnings"])]
    if answered := sum(model["answered_lines"] for model in found["models"]):
        lines.append(f"{wording.count(answered, 'request')} answered already, by earlier batches")
    if found["estimated_s"] is not None:
        took_s = found["estimated_s"]
        took = "less than a second" if took_s < 1 else f"about {took_s:.0f} s"
        lines.append(f"they take {took}, if the model is as fast as for its latest jobs and nothing waits before them")
    return lines


def why(failures: Sequence[batch_answers.Line]) -> str:
    """How many lines failed for which reason, to be put after how many did."""
    codes = Counter(batch_answers.code(line) for line in failures)
    return f" ({', '.join(f'{code}: {count}' for code, count in codes.most_common())})" if codes else ""


def wrongs(errors: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with a file of requests, and in which lines; a sentence for all of which it is the same."""
    lines: dict[str, list[int]] = {}
    for error in errors:
        said = ": ".join(filter(None, (error["param"], error["message"])))
        lines.setdefault(said, []).extend(filter(None, [error["line"]]))
    sentences = [f"{_where(numbers)}{said}" for said, numbers in lines.items()]
    return sentences + (["only the first hundred are told"] if len(errors) >= _TOLD_AT_ONCE else [])


def _where(numbers: Sequence[int]) -> str:
    """The lines with these numbers; nothing for what is about the whole file."""
    if not numbers:
        return ""
    some, more = ", ".join(map(str, numbers[:_NAMED])), len(numbers) - _NAMED
    return f"{'line' if len(numbers) == 1 else 'lines'} {some}{f' and {more} more' if more > 0 else ''}: "


def _verdict(found: dict[str, Any]) -> str:
    """Whether the requests that were checked would be run."""
    if found["valid"]:
        return "all right"
    wrong = len({error["line"] for error in found["errors"] if error["line"]})
    return f"{wrong} of them wrong: none would be run" if wrong else "none would be run"


def _answers(model: dict[str, Any]) -> str:
    """How long the answers of a model may be, of a check."""
    most, unbounded = f"at most {model['most_completion_tokens']} of answers", model["unbounded_lines"]
    if unbounded == model["lines"]:
        return "answers of any length"
    return f"{most}, and {wording.count(unbounded, 'answer')} of any length" if unbounded else most


def _window(given: str) -> str:
    """Looked at before anything is sent."""
    if windows.seconds(given) is None:
        raise click.BadParameter(windows.BOUNDS)
    return given


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
