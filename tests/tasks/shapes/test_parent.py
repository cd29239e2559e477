"""The child that reads schemas: its limits, its end, what it knows."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks import errors
from tasks.shapes import following
from tasks.shapes.parent import Limits, Shaper
from tests.support.platform import is_gone
from tests.support.waiting import until

TOLD: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
CATASTROPHE = {"type": "string", "pattern": "^(a+)+$"}


@pytest.fixture
def shaper() -> Iterator[Shaper]:
    made = Shaper(Limits(cpu_s=0.5))
    yield made
    made.close()


def child(shaper: Shaper) -> subprocess.Popen[bytes]:
    assert shaper._all[0].process is not None
    return shaper._all[0].process


def test_schema_is_compiled_and_an_answer_checked(shaper: Shaper) -> None:
    """The grammar comes over as it was made."""
    compiled = shaper.compile(TOLD)
    assert compiled.exact
    assert following.accepts(compiled.grammar, '{"a":1}')
    assert shaper.faults(TOLD, '{"a":1}') is None
    assert shaper.faults(TOLD, '{"a":"x"}') == "$.a: 'x' is not of type 'integer'"


@pytest.mark.parametrize("text", ["", "{", "NaN", "1e999", '{"a":1}x', "1" * 5_000])
def test_answer_that_isnt_json_is_a_fault(shaper: Shaper, text: str) -> None:
    """Also numbers that JSON doesn't have."""
    assert (shaper.faults({}, text) or "").startswith("$: not JSON")


def test_schema_asked_again_asks_no_child(shaper: Shaper) -> None:
    """The order of properties counts, the object's identity doesn't."""
    first = shaper.compile(TOLD)
    shaper.close()
    assert shaper.compile(json.loads(json.dumps(TOLD))) is first
    assert shaper._all[0].process is None
    two = {"type": "object", "properties": {"a": {}, "b": {}}}
    turned = {"type": "object", "properties": {"b": {}, "a": {}}}
    assert shaper.compile(two) != shaper.compile(turned)


def test_oldest_schemas_are_forgotten() -> None:
    """By their number, and by their size."""
    few, small = Shaper(Limits(kept=2)), Shaper(Limits(kept_bytes=1))
    for shaper, kept in ((few, 2), (small, 0)):
        for most in range(3):
            shaper.compile({"type": "string", "maxLength": most})
        assert len(shaper._kept) == kept
        shaper.close()


def test_refusal_names_the_place(shaper: Shaper) -> None:
    """And the child goes on."""
    shaper.compile(TOLD)
    before = child(shaper).pid
    with pytest.raises(errors.SchemaRefused, match="isn't closed") as refused:
        shaper.compile({"properties": {"a": {"type": "string", "pattern": "("}}}, "tools.0.parameters")
    assert refused.value.path == "tools.0.parameters.properties.a.pattern"
    assert child(shaper).pid == before


def test_catastrophic_pattern_ends_the_child_and_no_more(shaper: Shaper) -> None:
    """The next question finds another."""
    assert shaper.compile(CATASTROPHE).exact
    with pytest.raises(errors.SchemaRefused, match="too much"):
        shaper.faults(CATASTROPHE, json.dumps("a" * 50 + "b"))
    assert shaper.faults(CATASTROPHE, '"aa"') is None


def test_schema_that_took_too_much_isnt_tried_again(shaper: Shaper) -> None:
    """Asking for it a thousand times would hold everybody up."""
    ranges = "".join(f"\\u{0x3000 + 2 * at:04x}" for at in range(600))
    told = {"type": "string", "pattern": f"[{ranges}]{{1,400}}x|y+"}
    for _ in range(2):
        with pytest.raises(errors.SchemaRefused, match="too much"):
            shaper.compile(told)
        assert shaper._all[0].process is None


def test_memory_is_bounded() -> None:
    """A question for which there is none ends the child."""
    shaper = Shaper(Limits(memory_bytes=150 << 20, cpu_s=30))
    with pytest.raises(errors.SchemaRefused, match="too much"):
        shaper.faults({"type": "array"}, "[" + "[]," * 5_000_000 + "1]")
    assert shaper.faults({"type": "array"}, "[]") is None
    shaper.close()


@pytest.mark.parametrize(
    "told",
    [{"enum": ["x" * 600_000]}, {"const": float("nan")}, {"const": "\ud800"}, {"const": object()}],
    ids=["large", "nan", "surrogate", "object"],
)
def test_what_neednt_be_asked_isnt(shaper: Shaper, told: Any) -> None:
    """Too large, or no JSON."""
    with pytest.raises(errors.SchemaRefused):
        shaper.compile(told)
    assert shaper._all[0].process is None


def test_depth_that_would_break_readers_is_refused_before(shaper: Shaper) -> None:
    """The interpreter's stack is no limit of ours."""
    told: Any = {}
    for _ in range(100_000):
        told = {"items": told}
    with pytest.raises(errors.SchemaRefused, match="nested deeper"):
        shaper.compile(told)
    while told:  # freeing it at once would need a stack as deep
        told = told.pop("items")


def test_child_that_was_killed_is_replaced(shaper: Shaper) -> None:
    """As by a lack of memory."""
    shaper.compile(TOLD)
    lost = child(shaper)
    os.kill(lost.pid, signal.SIGKILL)
    lost.wait()
    assert shaper.faults(TOLD, '{"a":1}') is None


def test_threads_ask_one_after_the_other(shaper: Shaper) -> None:
    """Each gets the answer to its own question."""
    told = [{"const": place} for place in range(40)]
    with futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(shaper.compile, told))
        faults = list(pool.map(shaper.faults, told, map(str, range(40))))
    assert [following.accepts(one.grammar, str(place)) for place, one in enumerate(made)] == [True] * 40
    assert faults == [None] * 40


def test_child_knows_no_secret(shaper: Shaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment but how to run."""
    monkeypatch.setenv("FOREBAY_SECRET", "hidden")
    shaper.compile(TOLD)
    assert "FOREBAY_SECRET" not in psutil.Process(child(shaper).pid).environ()


def test_child_ends_with_its_parent() -> None:
    """Also when the parent is killed."""
    code = (
        "import time; from tasks.shapes.parent import Shaper; s = Shaper(); s.compile({});"
        "print(s._all[0].process.pid, flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    with parent.stdout:
        child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    assert until(lambda: is_gone(child))


def test_parent_has_no_checking_library() -> None:
    """The library that a catastrophic pattern hangs is imported by the child alone."""
    code = "import sys; import tasks.shapes.parent; sys.exit('jsonschema' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0


def test_close_while_another_asks_waits_for_the_answer(shaper: Shaper) -> None:
    """Closing is one of those that take their turn."""
    shaper.compile(TOLD)
    asking = threading.Thread(target=shaper.compile, args=({"type": "array"},))
    asking.start()
    shaper.close()
    asking.join()
    shaper.close()
    assert shaper._all[0].process is None


def test_slow_schema_keeps_no_other_waiting_while_there_is_another_child() -> None:
    """The second is read while the first still takes its time."""
    shaper, came = Shaper(Limits(wall_s=60, cpu_s=60), children=2), threading.Event()
    held = shaper._children.get()  # as by a question that takes long
    thread = threading.Thread(target=lambda: (shaper.compile(TOLD), came.set()))
    thread.start()
    assert came.wait(60)
    shaper._children.put(held)
    thread.join()
    shaper.close()
