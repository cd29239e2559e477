"""What a call's headers ask for."""

import pytest
from flask import Flask

from dialects.openai import errors
from webapi.openai import headers

PATIENCE_S = headers.PATIENCE_S


@pytest.mark.parametrize(
    ("prefer", "wait_s", "else_job"),
    [
        ("", PATIENCE_S, False),
        ("respond-async", 0, True),
        ("wait=5", 5, True),
        ("respond-async, wait=5", 5, True),
        ('wait="7"', 7, True),
        ("wait=99999", PATIENCE_S, True),
        ("wait=soon", PATIENCE_S, False),
        ("handling=lenient", PATIENCE_S, False),
        ("RESPOND-ASYNC; q=1", 0, True),
    ],
)
def test_preferences_are_honoured_or_passed_over(prefer: str, wait_s: float, else_job: bool) -> None:
    """RFC 7240: what isn't understood is as if it weren't there."""
    with Flask(__name__).test_request_context():
        wishes = headers.wishes({"prefer": prefer})
    assert (wishes.wait_s, wishes.else_job) == (wait_s, else_job)


@pytest.mark.parametrize(
    ("said", "tier", "lane"),
    [({}, None, "interactive"), ({}, "flex", "batch"), ({"lane": "interactive"}, "flex", "interactive")],
)
def test_the_header_goes_before_the_tier(said: dict[str, str], tier: str | None, lane: str) -> None:
    """Which is OpenAI's way to say it."""
    with Flask(__name__).test_request_context():
        assert headers.wishes(said, tier).lane == lane


def test_a_client_says_how_patient_it_is() -> None:
    """Nobody waits longer for the job than its client does; part seconds and nonsense are our usual."""
    for said, wait_s in (("30.0", 35), ("5", 10), ("0.5", PATIENCE_S), ("long", PATIENCE_S)):
        with Flask(__name__).test_request_context(headers={"X-Stainless-Read-Timeout": said}):
            assert headers.wishes({}).wait_s == wait_s


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("params.top_p", "top_p"),
        ("params.choices", "n"),
        ("input.turns.3.parts", "messages.3.parts"),
        ("input.texts", "input"),
        ("input.0", "input.0"),
        ("input", "input"),
        ("model", "model"),
    ],
)
def test_fields_are_told_by_openais_names(ours: str, theirs: str) -> None:
    """Where a job's own rules found something wrong."""
    assert errors.named(ours) == theirs
