"""Tickets: one job's events, for a while, by a key that made them."""

import uuid
from dataclasses import replace

import pytest

from tasks import tickets
from tasks.keys import Caller
from tasks.tickets import NewTicket

PEPPER = "the pepper of tests"
HOLDER = Caller(uuid.UUID(int=1), "0123456789")
JOB = uuid.UUID(int=2)
NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands."""
    monkeypatch.setattr(tickets.time, "time", lambda: NOW)


@pytest.fixture
def made() -> NewTicket:
    return tickets.make(PEPPER, HOLDER, JOB)


def opens(ticket: str, *, pepper: str = PEPPER, holder: Caller = HOLDER, job_id: uuid.UUID = JOB) -> bool:
    shown = tickets.parse(ticket)
    return shown is not None and shown.opens(pepper, holder, job_id)


def test_ticket_opens_what_it_was_made_for(made: NewTicket) -> None:
    """It names the key by which it is to be checked, and says until when it is good."""
    assert opens(made.ticket)
    shown = tickets.parse(made.ticket)
    assert shown is not None
    assert shown.key_id == HOLDER.key_id
    assert (made.job_id, made.expires_s) == (JOB, NOW + tickets.LIFE_S)


def test_ticket_opens_nothing_else(made: NewTicket) -> None:
    """Another job, another tenant, another key of the tenant's, another pepper."""
    assert not opens(made.ticket, job_id=uuid.UUID(int=3))
    assert not opens(made.ticket, holder=replace(HOLDER, tenant_id=uuid.UUID(int=3)))
    assert not opens(made.ticket, holder=replace(HOLDER, key_id="abcdefghij"))
    assert not opens(made.ticket, pepper="another pepper of tests")


def test_ticket_is_good_until_it_expires(made: NewTicket, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the second it says, and no longer."""
    monkeypatch.setattr(tickets.time, "time", lambda: NOW + tickets.LIFE_S - 0.1)
    assert opens(made.ticket)
    monkeypatch.setattr(tickets.time, "time", lambda: NOW + tickets.LIFE_S)
    assert not opens(made.ticket)


def test_every_other_text_opens_nothing(made: NewTicket) -> None:
    """One character more, less or other, wherever it is; a later time; and texts of other shapes."""
    text = made.ticket
    for i, was in enumerate(text):
        other = next(c for c in "019azAZ_-" if c != was)
        assert not opens(text[:i] + other + text[i + 1 :]), i
        assert not opens(text[:i] + text[i + 1 :]), i
    later = text.replace(str(made.expires_s), str(made.expires_s + 1))
    for odd in (later, text + "x", text + "\n", " " + text, text.upper(), "", "tk_", "tk___", "x" * 100_000):
        assert not opens(odd)
    assert (
        tickets.parse("tk_0123456789_\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661_" + "A" * 43) is None
    )
