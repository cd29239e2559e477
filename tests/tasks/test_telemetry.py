"""Facts: what of them comes into the log, and that nobody who listens can do harm."""

import dataclasses
import re
import uuid
from pathlib import Path
from typing import get_args

import pytest
from structlog.testing import capture_logs

from tasks import telemetry
from tasks.telemetry import DeliverySent, Fact, JobClaimed, SweepRound

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"
ID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("fact", "line"),
    [
        (
            JobClaimed(ID, 2, "generate", "alpha", 0.12345),
            {"event": "claimed", "job_id": f"job_{ID.hex}", "attempt": 2, "queue": "alpha", "waited_s": 0.123},
        ),
        (DeliverySent(ID, 204, None), {"event": "sent", "delivery_id": f"dlv_{ID.hex}", "status": 204, "error": None}),
        (SweepRound(0.5, 1, 2, 3), {"event": "swept", "log_level": "debug", "refilled": 2}),
    ],
)
def test_fact_is_a_line_in_the_log(fact: Fact, line: dict[str, object]) -> None:
    """Its ids as clients know them."""
    with capture_logs() as told:
        telemetry.emit(fact)
    assert len(told) == 1
    assert line.items() <= told[0].items()


def test_adapter_that_raises_breaks_nothing(facts: list[Fact]) -> None:
    """Not those after it, and not whoever told."""

    def broken(fact: Fact) -> None:
        raise ZeroDivisionError("a slip")

    forget = telemetry.register(broken)
    after: list[Fact] = []
    forget_after = telemetry.register(after.append)
    with capture_logs() as told:
        telemetry.emit(SweepRound(0.5, 1, 2, 3))
    forget()
    forget_after()
    assert facts == after == [SweepRound(0.5, 1, 2, 3)]
    assert [(line["event"], line.get("fact")) for line in told] == [("swept", None), ("adapter_failed", "SweepRound")]


def test_page_tells_of_every_fact() -> None:
    """With its fields, its line and its level."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| (`.*`) \| `(\w+)`, (\w+) \|$", PAGE.read_text(), re.MULTILINE)
    written = {name: (re.findall(r"`(\w+)`", fields), (event, level)) for name, fields, event, level in rows}
    assert written == {
        fact.__name__: ([field.name for field in dataclasses.fields(fact)], telemetry.LINES[fact])
        for fact in get_args(Fact)
    }
