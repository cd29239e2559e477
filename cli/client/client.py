"""A client of the API: what `submit`, `watch` and the demonstration speak with."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import click
import httpx

from cli.launcher import credentials, datafolder, given, lineup, ports

DEFAULT_URL = f"http://{lineup.HOST}:{ports.API}"
ENDS = frozenset({"succeeded", "failed", "cancelled", "expired"})

_SILENCE_S = 30.0  # a stream has a heartbeat every 10 s
_PATIENCE_S = 60.0
_UNTOLD_S = 2.0  # so long an outage is borne without a word
_PAUSE_S = 0.5
_CHECK_S = 600.0  # a file of 50,000 lines is read to its end

T = TypeVar("T")

Job = dict[str, Any]


class ApiError(click.ClickException):
    """The API refused. `code` names the reason for programs, `param` the field."""

    def __init__(self, status: int, code: str, message: str, param: str | None) -> None:
        super().__init__(f"{param}: {message}" if param else message)
        self.status = status
        self.code = code
        self.param = param


class Unreachable(click.ClickException):
    """Nothing answered at the API's address."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a job; `id` is None for those without a number. The last one's data is the job."""

    id: str | None
    type: str
    data: dict[str, Any]


@dataclass(slots=True)
class _Outage:
    """A time in which requests fail that may succeed later."""

    since: float | None = None
    told: bool = False

    def is_borne(self, error: click.ClickException) -> bool:
        """Whether to try again after this error: for a minute. Says on stderr, once, that we do."""
        now = time.monotonic()
        self.since = self.since or now
        if not self.told and now - self.since > _UNTOLD_S:
            self.told = True
            click.echo(f"{error.message}; trying again for a minute", err=True)
        return now - self.since <= _PATIENCE_S


class Client:
    """Speaks to one API with one key. Not for several threads at once. `reached` once anything was answered."""

    def __init__(self, url: str, key: str) -> None:
        timeout = httpx.Timeout(10, read=_SILENCE_S)
        self.reached = False
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout,
            event_hooks={"response": [self._note]},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def submit(self, request: dict[str, Any]) -> Job:
        return self._ask("POST", "/v1/jobs", json=request)

    def get(self, job_id: str, wait_s: float | None = None) -> Job:
        """The job as it is now; with `wait_s` when it has ended, if that is so soon, however often we must ask."""
        if wait_s is None:
            return self._ask("GET", f"/v1/jobs/{job_id}")
        return self._patiently("GET", f"/v1/jobs/{job_id}", params={"wait": wait_s})

    def jobs(self, **filters: Any) -> list[Job]:
        """The newest jobs, the newest first; `filters` are the API's, None where not given."""
        asked = {name: value for name, value in filters.items() if value is not None}
        return list(self._ask("GET", "/v1/jobs", params=asked)["data"])

    def cancel(self, job_id: str) -> Job:
        return self._ask("POST", f"/v1/jobs/{job_id}/cancel")

    def end(self, job_id: str) -> Job:
        """The job as it ended, however long that takes. Raises like `events`."""
        return [event for event in self.events(job_id) if event.type in ENDS][-1].data

    def upload(self, files: Sequence[Path], fields: dict[str, str]) -> Job:
        """Brings files into a collection; the job that ingests them."""
        with ExitStack() as opened:
            sent = [("file", (file.name, opened.enter_context(file.open("rb")))) for file in files]
            return self._ask("POST", "/v1/documents", data=fields, files=sent)

    def documents(self, **filters: str) -> list[dict[str, Any]]:
        """The newest documents, the newest first; none where there is no such collection."""
        try:
            return list(self._patiently("GET", "/v1/documents", params=filters)["data"])
        except ApiError as error:
            if error.status != 404:
                raise
            return []

    def bring(self, files: Sequence[Path]) -> list[dict[str, Any]]:
        """Brings files to be summarised; the documents that they are."""
        with ExitStack() as opened:
            sent = [("file", (file.name, opened.enter_context(file.open("rb")))) for file in files]
            return list(self._ask("POST", "/v1/summaries/documents", files=sent)["data"])

    def document(self, document_id: str) -> dict[str, Any]:
        return self._patiently("GET", f"/v1/documents/{document_id}")

    def delete(self, document_id: str) -> None:
        """Deletes a document, which may be gone already."""
        try:
            self._ask("DELETE", f"/v1/documents/{document_id}")
        except ApiError as error:
            if error.status != 404:
                raise

    def summarize(self, request: dict[str, Any], once: str) -> Job:
        """The summary that was asked for; the one that there is, where it was asked for under `once` before."""
        return self._ask("POST", "/v1/summaries", json=request, headers={"Idempotency-Key": once})

    def summary(self, summary_id: str, wait_s: float = 0) -> Job:
        """The summary as it is now, or when it has ended, if that is so soon; tries again where nothing answers."""
        self._patiently("GET", f"/v1/jobs/{summary_id}", params={"wait": wait_s})
        return self._patiently("GET", f"/v1/summaries/{summary_id}")

    def results(self, summary_id: str, after: int) -> list[dict[str, Any]]:
        """Some of the summary's results after that number; none where there are no more now."""
        asked = {"after": after, "limit": 100}
        return list(self._patiently("GET", f"/v1/summaries/{summary_id}/results", params=asked)["data"])

    def search(self, query: str, collection: str, top_k: int | None = None) -> list[dict[str, Any]]:
        """The passages that were found, the best first."""
        asked = {"query": query, "collection": collection} | ({} if top_k is None else {"top_k": top_k})
        return list(self._ask("POST", "/v1/search", json=asked)["results"])

    def collection(self, name: str) -> dict[str, Any] | None:
        try:
            return self._ask("GET", f"/v1/collections/{name}")
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def send_file(self, path: Path) -> dict[str, Any]:
        """Sends a file of a batch's requests, as it is read; once more where nothing answers."""

        def send() -> dict[str, Any]:
            with path.open("rb") as opened:
                return self._ask("POST", "/v1/files", data={"purpose": "batch"}, files={"file": (path.name, opened)})

        return self._again(send)

    def delete_file(self, file_id: str) -> None:
        """Deletes a file, which may be gone already."""
        try:
            self._patiently("DELETE", f"/v1/files/{file_id}")
        except ApiError as error:
            if error.status != 404:
                raise

    def check_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._patiently("POST", "/v1/batches/check", json=request, timeout=_CHECK_S)

    def create_batch(self, request: dict[str, Any], once: str) -> dict[str, Any]:
        """The batch that was asked for; the one that there is, where it was asked for under `once` before."""
        return self._patiently("POST", "/v1/batches", json=request, headers={"Idempotency-Key": once})

    def retry_batch(self, batch_id: str, once: str) -> dict[str, Any]:
        """A new batch of what that one has no answer to; the one that there is, as `create_batch`."""
        return self._patiently("POST", f"/v1/batches/{batch_id}/retry", headers={"Idempotency-Key": once})

    def batch(self, batch_id: str) -> dict[str, Any]:
        return self._patiently("GET", f"/v1/batches/{batch_id}")

    def batches(self, limit: int) -> list[dict[str, Any]]:
        """The newest batches, the newest first."""
        return list(self._patiently("GET", "/v1/batches", params={"limit": limit})["data"])

    def cancel_batch(self, batch_id: str) -> dict[str, Any]:
        return self._patiently("POST", f"/v1/batches/{batch_id}/cancel")

    def batch_results(self, batch_id: str, after: int = 0, *, follow: bool = False) -> Iterator[dict[str, Any]]:
        """The results of a batch after that number, each once: those that are there, or all of them as they come."""
        while True:
            now = self.batch(batch_id)["status"] if follow else "completed"
            page = self._again(lambda after=after: self._results_page(batch_id, after))  # type: ignore[misc]
            yield from page
            after = page[-1]["number"] if page else after
            if not page and now in ("completed", "failed", "expired", "cancelled"):
                return
            if not page:
                time.sleep(_PAUSE_S)

    def file_lines(self, file_id: str) -> list[dict[str, Any]]:
        """The lines of a file that a batch has written."""
        return self._again(lambda: self._lines(f"/v1/files/{file_id}/content"))

    def _results_page(self, batch_id: str, after: int) -> list[dict[str, Any]]:
        return self._lines(f"/v1/batches/{batch_id}/results", after=after, limit=1000)

    def _lines(self, path: str, **asked: int) -> list[dict[str, Any]]:
        try:
            response = self._http.get(path, params=asked)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code >= 400:
            raise _error(response)
        return [json.loads(line) for line in response.text.split("\n") if line]

    def models(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/v1/models")["data"])

    def events(self, job_id: str, after: str = "0") -> Iterator[Event]:
        """The job's events after that one, to the last, each once: a lost connection is resumed.

        Raises `ApiError`, and `Unreachable` when nothing answers for a minute.
        """
        outage = _Outage()
        while True:
            try:
                for event in self._stream(job_id, after):
                    outage, after = _Outage(), event.id or after
                    yield event
                    if event.type in ENDS:
                        return
                # It ended in good order, but before the last event: that was for us to come again, or there is none.
                outage = _Outage()
                if (job := self.get(job_id))["status"] in ENDS:
                    for event in self._last(job, after):
                        after = event.id or after
                        yield event
                    return
            except (Unreachable, ApiError) as error:
                passing = isinstance(error, Unreachable) or error.status == 503
                if not passing or not outage.is_borne(error):
                    raise
            time.sleep(_PAUSE_S)

    def _last(self, job: Job, after: str) -> Iterator[Event]:
        """The end of a job that ended just now, after all; what came before it too, if there is any."""
        seen = False
        for event in self._stream(job["id"], after):
            seen = event.type in ENDS
            yield event
        if not seen:
            yield Event(None, job["status"], job)

    def _stream(self, job_id: str, after: str) -> Iterator[Event]:
        headers = {"Last-Event-ID": after}
        try:
            with self._http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
                if response.status_code == 204:  # the job has ended, and `after` is its last event
                    return
                if response.status_code != 200:
                    response.read()
                    raise _error(response)
                yield from parse(response.iter_lines())
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _patiently(self, method: str, path: str, **options: Any) -> Job:
        """`_ask`, again and again for a minute while nothing answers."""
        return self._again(lambda: self._ask(method, path, **options))

    def _again(self, ask: Callable[[], T]) -> T:
        """What this asks, again and again for a minute while nothing answers."""
        outage = _Outage()
        while True:
            try:
                return ask()
            except (Unreachable, ApiError) as error:
                passing = isinstance(error, Unreachable) or error.status in (429, 503)
                if not passing or not outage.is_borne(error):
                    raise
            time.sleep(_PAUSE_S)

    def _note(self, response: httpx.Response) -> None:  # noqa: ARG002 that there is one is enough
        self.reached = True

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        why = re.sub(r"^\[Errno -?\d+\] ", "", str(error))
        return Unreachable(f"{self._http.base_url} doesn't answer: {why}")

    def _ask(self, method: str, path: str, **options: Any) -> Job:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code >= 400:
            raise _error(response)
        return dict(response.json()) if response.content else {}


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """Server-sent events out of a response's lines (WHATWG HTML, section 9.2.6, as far as the API uses it)."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
        elif not line:
            if "data" in fields:
                yield Event(fields.get("id"), fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that say which API to ask, and calls it with a `client` for it."""

    @click.option("--url", envvar="FOREBAY_URL", help=f"Of the API.  [default: the data folder's, else {DEFAULT_URL}]")
    @click.option("--key", envvar="FOREBAY_KEY", help="An API key; else the one of the data folder.")
    @datafolder.option("The data folder of the `forebay up` that runs here.")
    @wraps(command)
    def wrapper(url: str | None, key: str | None, data: Path, **given: Any) -> Any:
        with Client(url or local_url(data), key or local_key(data)) as client:
            try:
                return command(client=client, **given)
            except Unreachable as error:
                if client.reached:
                    raise
                raise Unreachable(f"{error.message} (--url or FOREBAY_URL names another API)") from error

    return wrapper


def local_url(data: Path) -> str:
    """Where the API of the folder's `forebay up` is, or was last; the usual address where there was none."""
    noted = given.read(datafolder.DataFolder(data).given)
    return DEFAULT_URL if noted is None else f"http://{lineup.HOST}:{noted.port}"


def local_key(data: Path) -> str:
    """The key that `forebay up` made for the data folder. Raises `UsageError` when there is none."""
    try:
        key = credentials.read(datafolder.DataFolder(data).secrets).key
    except OSError:
        key = None
    if key is None:
        raise click.UsageError(
            f"no key: give --key or FOREBAY_KEY, or --data with a folder of `forebay up` (not {data})"
        )
    return key


def _error(response: httpx.Response) -> ApiError:
    try:
        error = response.json()["error"]
        return ApiError(response.status_code, error["code"], error["message"], error["param"])
    except (ValueError, KeyError, TypeError):  # something else answered, a proxy perhaps
        return ApiError(response.status_code, "unknown", f"{response.status_code} {response.reason_phrase}", None)
