"""Nobody reads, lists, ends, resumes or infers what is another tenant's: asked of every route and field of the page.

What names something has a maker in `sides.py`, what names nothing is in `nameless.py`; a new route or field that is
neither fails.
"""

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from werkzeug.test import TestResponse

from db.session import Sessions
from tasks import keys
from tests.webapi import page
from tests.webapi.conftest import Api, new_key
from tests.webapi.nameless import NAMELESS
from tests.webapi.page import Operation
from tests.webapi.sides import MAKERS, Side, World

# What is the server's own, and everybody's.
COMMON = {"functions", "models", "{owner}"}

# Where else something is named, and what.
MENTIONS = {
    "GET /v1/messages/batches ?after_id": "message_batches",
    "GET /v1/messages/batches ?before_id": "message_batches",
    "GET /v1/jobs ?after": "jobs",
    "GET /v1/documents ?after": "documents",
    "GET /v1/documents ?collection": "collections",
    "GET /v1/collections ?after": "collections",
    "POST /v1/jobs json input.collection": "collections",
    "POST /v1/documents json collection": "collections",
    "POST /v1/collections json name": "collections",
    "POST /v1/documents form collection": "collections",
    "POST /v1/search json collection": "collections",
    "GET /v1/deliveries ?after": "deliveries",
    "GET /v1/deliveries ?webhook": "webhooks",
    "GET /v1/deliveries ?job": "jobs",
    "GET /v1/chat/completions ?after": "completions",
    "POST /v1/responses json previous_response_id": "responses",
    "POST /v1/responses json conversation.id": "conversations",
    "GET /v1/predictions ?cursor": "predictions",
    "GET /v1/files ?after": "files",
    "GET /v1/batches ?after": "batches",
    "POST /v1/batches json input_file_id": "files",
    "POST /v1/rag/documents json collection": "collections",
    "POST /v1/rag/chat json collection": "collections",
}

# Requests that the page's example doesn't show.
BASES: dict[str, Callable[[], Any]] = {
    "POST /v1/collections json name": lambda: {"language": "english"},  # as all of them are that were made
    "POST /v1/jobs json input.collection": lambda: {"type": "rag", "input": {"question": "Who?"}},
    "POST /v1/documents form collection": lambda: {"file": (io.BytesIO(b"one"), "one.txt")},
    "POST /v1/responses json previous_response_id": lambda: {"input": "one", "background": True},
    "POST /v1/responses json conversation.id": lambda: {"input": "one", "background": True, "conversation": {}},
    "POST /v1/rag/chat json collection": lambda: {"query": "Who?", "stream": True},  # answers before it knows what
}

# What means something only within what is in the path: numbers of events, and tickets, which `test_tickets.py` tries.
WITHIN = {
    # It is looked at by a worker: `tests/flow/test_batch_checks.py` tries another tenant's.
    "POST /v1/batches/check json input_file_id",
    "GET /v1/batches/{batch_id}/results ?after",
    "GET /v1/batches/{batch_id}/results header Last-Event-ID",
    "GET /v1/jobs/{job_id}/events ?after",
    "GET /v1/jobs/{job_id}/events ?ticket",
    "GET /v1/jobs/{job_id}/events header Last-Event-ID",
    "GET /v1/predictions/{prediction_id}/stream header Last-Event-ID",
    "GET /v1/documents/{document_id}/chunks ?after",
    # What it is called where it comes from: two tenants may both say so, as `test_identity.py` does.
    "GET /v1/documents ?external_id",
    "GET /v1/documents ?filename",
    "GET /v1/documents ?archive",
    "GET /v1/summaries/{summary_id}/results ?after",
    # What these name must be ready: `test_summaries.py` tries them.
    "POST /v1/summaries json collection",
    "POST /v1/summaries json documents",
    "GET /v1/summaries/{summary_id}/events ?after",
    "GET /v1/summaries/{summary_id}/events header Last-Event-ID",
    "GET /v1/chat/completions/{completion_id}/messages ?after",
    # Files and stores are told from where they are listed: `test_vector_stores.py` tries another tenant's.
    "POST /v1/vector_stores json file_ids",
    "GET /v1/vector_stores ?after",
    "GET /v1/vector_stores ?before",
    *[
        f"GET /v1/vector_stores/{{vector_store_id}}/{inner} ?{side}"
        for inner in ("files", "file_batches/{file_batch_id}/files")
        for side in ("after", "before")
    ],
    "POST /v1/responses json tools.vector_store_ids",
    "POST /v1/responses/input_tokens json tools.vector_store_ids",
    "POST /v1/vector_stores/{vector_store_id}/files json file_id",
    "POST /v1/vector_stores/{vector_store_id}/file_batches json file_ids",
    "POST /v1/vector_stores/{vector_store_id}/file_batches json files.file_id",
    "GET /v1/responses/{response_id} ?starting_after",
    "GET /v1/responses/{response_id}/input_items ?after",
    # Another tenant's item, which a reference names: `test_responses.py` tries it.
    "POST /v1/responses json input.id",
    "GET /v1/conversations/{conversation_id}/items ?after",
    "POST /v1/responses/input_tokens json input.id",
    "POST /v1/responses/compact json input.id",
    # `test_compacting.py` tries it.
    "POST /v1/responses/compact json previous_response_id",
    "POST /v1/responses/input_tokens json previous_response_id",
    "POST /v1/responses/input_tokens json conversation.id",
    # Another tenant's part: `test_uploads.py` tries it.
    "POST /v1/uploads/{upload_id}/complete json part_ids",
}


@pytest.fixture
def world(app: Flask, sessions: Sessions, client: redis.Redis) -> World:
    return World(app, sessions, client)


@pytest.fixture
def operations(app: Flask) -> list[Operation]:
    return page.served(app)


def unlike(id: str) -> str:
    """One of the same kind that never was."""
    digits = "0" * 8
    return id[:-8] + (digits if id[-8:] != digits else "1" * 8) if re.search("[0-9a-f]{32}$", id) else id[:-1] + "z"


def seen(response: TestResponse, id: str) -> tuple[int, str, list[str]]:
    """All that a client learns, apart from the id it sent and what any new thing has of its own."""

    def plain(text: str) -> str:
        for part in id.split("/"):
            text = text.replace(part, "<id>")
        return re.sub(r"[a-z]+[_-][0-9a-f]{32}|\d{4}-\d\d-\d\dT[0-9:.+]+", "<own>", text)

    timeless = [(name, value) for name, value in response.headers if name != "openai-processing-ms"]
    headers = sorted(f"{name}: {plain(value)}" for name, value in timeless)
    return response.status_code, plain(response.text), headers


def mentions(operations: list[Operation]) -> Iterator[tuple[Operation, str, str]]:
    """Each place beside the path where something is named, and what."""
    for operation in operations:
        for place in operation.places:
            if f"{operation} {place}" in MENTIONS:
                yield operation, place, MENTIONS[f"{operation} {place}"]


def view(side: Side, operations: list[Operation]) -> list[str]:
    """Everything that the tenant can read: each list, and each thing of its own by its id."""
    told = []
    for operation in operations:
        if operation.method == "GET" and not operation.open:
            urls = [operation.url(id) for noun, id in side.made if operation.noun() == noun]
            told += [
                f"{url}: {_without_requests(side.api.get(url).text)}"
                for url in urls or [operation.path]
                if "{" not in url
            ]
    return told


def _without_requests(text: str) -> str:
    """An answer without the id of the request, which some dialects' errors have."""
    return re.sub("req_[0-9a-f]{32}", "<own>", text)


def roles(owner: Side) -> dict[str, Api]:
    """Everyone who isn't let in: another tenant, a key that was revoked, and none."""
    world, revoked = owner.world, new_key(owner.world.sessions, owner.word)
    with world.sessions.begin() as session:
        keys.revoke(session, revoked.split("_")[1])
    return {
        "another tenant": world.tenant("stranger").api,
        "revoked": Api(world.app, revoked),
        "no key": Api(world.app, ""),
    }


def test_every_place_of_the_page_is_known_here(operations: list[Operation]) -> None:
    """What a route added tomorrow takes must be given a maker, or be said to name nothing; nothing here is stale."""
    nouns = {operation.noun(COMMON) for operation in operations} - {""}
    places = {f"{operation} {place}" for operation in operations for place in operation.places}
    bare = {place for operation in operations for place in operation.places}
    unknown = {
        f"{operation} {place}"
        for operation in operations
        for place in operation.places
        if place not in NAMELESS and f"{operation} {place}" not in MENTIONS.keys() | WITHIN
    }
    assert (nouns, unknown) == (set(MAKERS), set())
    assert (MENTIONS.keys() | BASES.keys() | WITHIN) - places == set()
    assert NAMELESS - bare == set()


def test_what_is_foreign_is_answered_like_what_never_was(world: World, operations: list[Operation]) -> None:
    """Over every route with an id in its path, for everyone who isn't let in: status, body and headers."""
    owner = world.tenant("owner").make_everything()
    before, asked = view(owner, operations), 0
    for who, api in roles(owner).items():
        for operation in operations:
            for id in [id for noun, id in owner.made if operation.noun() == noun]:
                body = {"json": operation.example} if operation.example else {}
                foreign = api.ask(operation.method, operation.url(id), **body)
                missing = api.ask(operation.method, operation.url(unlike(id)), **body)
                assert seen(foreign, id) == seen(missing, unlike(id)), (who, operation)
                assert foreign.status_code == (404 if who == "another tenant" else 401), (who, operation)
                asked += 1
    assert asked >= 3 * 7
    assert view(owner, operations) == before


def test_what_is_ones_own_opens_to_every_key_of_the_tenant(world: World, operations: list[Operation]) -> None:
    """A thing belongs to the tenant, not to the key that made it."""
    owner = world.tenant("owner")
    for api in (owner.api, Api(world.app, new_key(world.sessions, "owner"))):
        for operation in operations:
            if set(operation.nouns) - COMMON:
                body = {"json": operation.example} if operation.example else {}
                response = api.ask(operation.method, operation.url(owner.make(operation.noun())), **body)
                assert response.status_code in operation.statuses - {401, 404, 500, 503}, operation


def test_foreign_names_in_queries_and_bodies_are_like_none(world: World, operations: list[Operation]) -> None:
    """Wherever something can be named beside the path, another tenant's is answered like what never was."""
    owner, asked = world.tenant("owner").make_everything(), 0
    for operation, place, noun in mentions(operations):
        base = BASES.get(f"{operation} {place}", lambda: None)
        id = next(id for made, id in owner.made if made == noun)
        answers = []
        for named in (id, unlike(id)):
            stranger = world.tenant(f"stranger to {operation} {place} {named}")  # what it makes is there afterwards
            url, options = page.request(operation, place, named, base())
            response = stranger.api.ask(operation.method, url, **options)
            answers.append(seen(response, named))
            assert "owner" not in response.text.replace(named, ""), (operation, place)
        assert answers[0] == answers[1], (operation, place)
        url, options = page.request(operation, place, id, base())
        assert owner.api.ask(operation.method, url, **options).status_code < 300, (operation, place)
        asked += 1
    assert asked == len(MENTIONS)


def test_nothing_anyone_can_read_changes_with_what_others_have(world: World, operations: list[Operation]) -> None:
    """Lists, counts and things by their ids are the same whether one is alone here or not."""
    stranger = world.tenant("stranger").make_everything()
    alone = view(stranger, operations)
    owner = world.tenant("owner").make_everything()
    assert view(stranger, operations) == alone
    assert "owner" not in "".join(alone)
    assert all(id not in "".join(alone) for _, ids in owner.made for id in ids.split("/"))
    assert "stranger" not in "".join(view(owner, operations))


def test_events_are_read_by_number_within_ones_own_job(world: World) -> None:
    """A stream resumed after an id of another's stream goes on in one's own, whatever that id was."""
    owner, stranger = world.tenant("owner"), world.tenant("stranger")
    theirs, own = owner.make("jobs"), stranger.make("jobs")
    for number in ("1-1", "1-3", "7-2", "999999-999999999", "0"):
        for options in ({"query_string": {"after": number}}, {"headers": {"Last-Event-ID": number}}):
            response = stranger.api.get(f"/v1/jobs/{own}/events", **options)
            assert response.status_code == 200, number
            assert "owner" not in response.text
            assert theirs not in response.text
            assert stranger.api.get(f"/v1/jobs/{theirs}/events", **options).status_code == 404


def test_tickets_open_no_more_than_their_tenant_has(world: World) -> None:
    """Another's job is answered like one that never was, to whatever ticket, with and without a key."""
    owner, stranger = world.tenant("owner"), world.tenant("stranger")
    theirs, own = owner.make("jobs"), stranger.make("jobs")
    ticket = stranger.api.post(f"/v1/jobs/{own}/ticket").json["ticket"]
    for api in (stranger.api, Api(world.app, "")):
        for asking in (api.get, lambda url: world.app.test_client().get(url)):
            foreign = asking(f"/v1/jobs/{theirs}/events?ticket={ticket}")
            missing = asking(f"/v1/jobs/{unlike(theirs)}/events?ticket={ticket}")
            assert seen(foreign, theirs) == seen(missing, unlike(theirs))
            assert foreign.status_code in (401, 404)
            assert "owner" not in foreign.text
