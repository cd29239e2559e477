"""Webhooks over HTTP: made, changed, tried out, and what was sent to them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.session import Sessions
from tasks.settings import WebhookPolicy
from tasks.webhooks import destinations
from tasks.webhooks.endpoints import MAX_ENDPOINTS
from tests import tables
from tests.webapi import byhand
from tests.webapi.conftest import Api
from webapi.v1.webhooks import requests
from workers.webhooks.courier import Courier

URL = "https://example.com/hooks"
ALL = ["job.cancelled", "job.expired", "job.failed", "job.succeeded"]


def make(api: Api, **changes: Any) -> dict[str, Any]:
    response = api.post("/v1/webhooks", json={"url": URL, **changes})
    assert response.status_code == 201, response.text
    return dict(response.json or {})


def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    response = api.get(f"/v1/deliveries?{query}")
    assert response.status_code == 200, response.text
    return list(response.json["data"])


def test_secret_is_shown_once(api: Api) -> None:
    """When it is made, and when it is replaced; never in between."""
    response = api.post("/v1/webhooks", json={"url": URL, "description": "Ours"})
    made = response.json
    assert response.headers["Location"] == made["links"]["self"]
    assert (made["url"], made["events"], made["description"], made["disabled"]) == (URL, ALL, "Ours", False)
    assert made["secret"].startswith("whsec_")
    shown = api.get(made["links"]["self"]).json
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    assert api.get("/v1/webhooks").json["data"] == [shown]
    rotated = api.post(f"{made['links']['self']}/rotate").json
    assert rotated["secret"] != made["secret"]
    first, second = (api.post("/v1/webhook-secret/rotate").json for _ in range(2))
    assert first["secret"] != second["secret"]


def test_webhook_is_changed_and_deleted(api: Api) -> None:
    """What isn't named stays; what is gone is not found."""
    path = make(api, events=["job.failed"])["links"]["self"]
    changes = {"url": "https://example.org/", "disabled": True, "events": ["job.succeeded", "job.succeeded"]}
    changed = api.ask("PATCH", path, json=changes).json
    assert (changed["url"], changed["disabled"], changed["events"]) == ("https://example.org/", True, ["job.succeeded"])
    assert api.get(path).json == changed
    assert api.ask("PATCH", path, json={"disabled": False, "url": None}).json["url"] == "https://example.org/"
    assert api.ask("DELETE", path).status_code == 204
    assert [api.ask(method, path, json={}).status_code for method in ("GET", "PATCH", "DELETE")] == [404] * 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": None}, "url"),
        ({"url": 5}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://" + "a" * 2048}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://user:word@example.com/"}, "url"),
        ({"url": "https://example.com:22/"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": "job.failed"}, "events"),
        ({"url": URL, "events": ["job.begun"]}, "events.0"),
        ({"url": URL, "events": ["webhook.test"]}, "events.0"),
        ({"url": URL, "description": "x" * 513}, "description"),
        ({"url": URL, "disabled": True}, "disabled"),
        ({"url": URL, "secret": "whsec_x"}, "secret"),
    ],
)
def test_bad_webhook_is_refused_by_field(api: Api, body: dict[str, Any], field: str) -> None:
    """Everything that can't be accepted is a 422 that names it, in a job's own webhook too."""
    response = api.post("/v1/webhooks", json=body)
    assert (response.status_code, response.json["error"]["param"]) == (422, field)
    assert api.get("/v1/webhooks").json["data"] == []
    if field != "description":
        response = api.post("/v1/jobs", json={"type": "generate", "input": {"prompt": "x"}, "webhook": body})
        assert (response.status_code, response.json["error"]["param"]) == (422, f"webhook.{field}")


@pytest.mark.parametrize("disabled", ["true", 1, 0, "no"])
def test_only_a_boolean_disables(api: Api, disabled: Any) -> None:
    """No text or number is taken for one."""
    response = api.ask("PATCH", make(api)["links"]["self"], json={"disabled": disabled})
    assert (response.status_code, response.json["error"]["param"]) == (422, "disabled")


def test_job_names_a_receiver(api: Api, sessions: Sessions, client: Any) -> None:
    """Its end is told there, if it is one of the ends that were asked for."""
    job = api.submit(webhook={"url": URL})
    byhand.run(sessions, client, job["id"]).succeed()
    other = api.submit(webhook={"url": URL, "events": ["job.failed"]})
    api.post(f"/v1/jobs/{other['id']}/cancel")
    [delivery] = listed(api)
    assert (delivery["job"], delivery["webhook"], delivery["url"]) == (job["id"], None, URL)
    assert delivery["type"] == "job.succeeded"


def test_more_webhooks_than_one_may_have_are_refused(api: Api) -> None:
    """The request is fine, so it is a 409 and not a 422."""
    for _ in range(MAX_ENDPOINTS):
        make(api)
    response = api.post("/v1/webhooks", json={"url": URL})
    assert (response.status_code, response.json["error"]["code"]) == (409, "limit_reached")
    assert len(api.get("/v1/webhooks").json["data"]) == MAX_ENDPOINTS


@given(url=st.from_regex(re.compile(requests.URL_PATTERN, re.ASCII)))
def test_url_that_the_page_describes_is_accepted(url: str) -> None:
    """Whatever the settings say: the page promises no more than is kept."""
    destinations.parse(url.rstrip("\n"), WebhookPolicy())  # which Python's $ lets pass


def test_deliveries_are_listed_by_webhook_job_and_status(api: Api) -> None:
    """Newest first, page by page."""
    hook, other = make(api), make(api, events=["job.failed"])
    jobs = [api.submit()["id"] for _ in range(3)]
    for job in jobs:
        api.post(f"/v1/jobs/{job}/cancel")
    assert [delivery["job"] for delivery in listed(api)] == jobs[::-1]
    assert [d["job"] for d in listed(api, f"webhook={hook['id']}&job={jobs[0]}&status=pending")] == [jobs[0]]
    assert listed(api, f"webhook={other['id']}") == listed(api, "status=delivered") == []
    first = api.get("/v1/deliveries?limit=2").json
    second = api.get(f"/v1/deliveries?limit=2&after={first['next']}").json
    assert [d["job"] for d in first["data"] + second["data"]] == jobs[::-1]
    assert second["next"] is None
    shown = first["data"][0]
    assert (shown["status"], shown["attempts"], shown["type"]) == ("pending", 0, "job.cancelled")


@pytest.mark.parametrize(
    "query",
    ["webhook=x", "webhook=job_" + "0" * 32, "job=x", "status=lost", "limit=0", "limit=101", "after=x", "odd=1"],
)
def test_bad_query_is_refused_by_field(api: Api, query: str) -> None:
    """A wrong filter is told, not taken for no filter."""
    response = api.get(f"/v1/deliveries?{query}")
    assert (response.status_code, response.json["error"]["param"]) == (422, query.partition("=")[0])


def test_trial_and_redelivery_are_deliveries(api: Api, sessions: Sessions) -> None:
    """A trial goes to the one webhook, whatever events it wants; again is the same message."""
    hook = make(api, events=["job.failed"])
    tried = api.post(f"{hook['links']['self']}/test")
    assert (tried.status_code, tried.json["type"], tried.json["job"]) == (202, "webhook.test", None)
    again = api.post(f"/v1/deliveries/{tried.json['id']}/redeliver")
    assert (again.status_code, again.json["message_id"]) == (202, tried.json["message_id"])
    assert len(listed(api)) == 1
    api.ask("PATCH", hook["links"]["self"], json={"disabled": True})
    courier = Courier(sessions, tables.WEBHOOKS)
    courier.send_due()
    courier.finish(30)
    [failed] = listed(api)
    assert (failed["status"], failed["last_error"], failed["next_at"]) == ("failed", "webhook_disabled", None)


def test_another_tenant_sees_and_changes_nothing(api: Api, theirs: Api) -> None:
    """Foreign is answered like unknown, to the letter."""
    path = make(api)["links"]["self"]
    api.post(f"{path}/test")
    [delivery] = listed(api)
    asked = [
        ("GET", path),
        ("PATCH", path),
        ("DELETE", path),
        ("POST", f"{path}/rotate"),
        ("POST", f"{path}/test"),
        ("POST", f"/v1/deliveries/{delivery['id']}/redeliver"),
    ]
    for method, foreign in asked:
        known = foreign.split("/")[3]
        unknown = known[:-32] + "f" * 32
        one = theirs.ask(method, foreign, json={})
        two = theirs.ask(method, foreign.replace(known, unknown), json={})
        assert one.status_code == two.status_code == 404
        assert one.text.replace(known, unknown) == two.text
    assert theirs.get("/v1/webhooks").json["data"] == listed(theirs) == []
    assert listed(theirs, f"webhook={path.split('/')[3]}") == []
    assert listed(api) == [delivery]


@pytest.mark.parametrize("path", ["/v1/webhooks/x", "/v1/webhooks/hook_" + "g" * 32, "/v1/webhooks/job_" + "0" * 32])
def test_what_is_no_id_is_not_found(api: Api, path: str) -> None:
    """Also where another kind's id stands."""
    assert api.get(path).status_code == 404
    assert api.post(f"{path.replace('webhooks', 'deliveries')}/redeliver").status_code == 404
