"""The README and the pages in `docs/` say nothing of files, settings and moves that isn't so."""

import re
from pathlib import Path

import pytest

from tasks.jobs import lifecycle
from tests.webapi import page as openapi
from webapi.app import create_app

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
TOP = "|".join(
    ("benchmarks", "cli", "compose", "db", "dialects", "docs", "models", "tasks", "tests", "webapi", "workers")
)


def test_readme_is_short() -> None:
    """What is looked up rather than read belongs to a page in `docs/`."""
    assert len(README.read_text().splitlines()) < 300


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    """Paths in backticks, and links within the repository."""
    text = page.read_text()
    named = re.findall(rf"`((?:{TOP})/[\w./-]*)", text)
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [name for name in named if not (ROOT / name).exists()]
    missing += [name for name in re.findall(r"`([\w-]+/[\w./-]*\.py)`", text) if not (ROOT / name).exists()]
    missing += [link for link in linked if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_sends_exist(page: Path) -> None:
    """In lines to be copied: under `-s` curl says nothing of a file that isn't there."""
    blocks = re.findall(r"^```\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    sent = [name for block in blocks for name in re.findall(r"-F '?file=@([^\s;']+)", block)]
    assert [name for name in sent if not (ROOT / name).exists()] == []
    assert sent or page.name != "documents.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_functions_that_a_page_names_after_a_file_are_in_it(page: Path) -> None:
    """As in `tasks/queues/window.py` `admit`."""
    named = re.findall(r"`([\w/]+\.py)` `(?:\w+\.)?(\w+)`", page.read_text())
    missing = [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []


def test_state_diagram_has_all_moves_and_no_others() -> None:
    """An arrow from the box stands for one from each state in it."""
    diagram = README.read_text().split("```mermaid")[1].split("```")[0]
    box, inside = re.findall(r"as (\w+) \{(.*?)\}", diagram, re.DOTALL)[0]
    boxed = set(re.findall(r"(\w+) --> \w+", inside))
    arrows = {(origin, target) for origin, target in re.findall(r"(\w+) --> (\w+)", diagram) if origin != target}
    drawn = {(each, target) for origin, target in arrows for each in (boxed if origin == box else {origin})}
    moves = {(origin.value, target.value) for origin, targets in lifecycle.MOVES.items() for target in targets}
    assert drawn == moves


def test_settings_page_has_every_variable() -> None:
    """Those that the three kinds of processes read."""
    page = (ROOT / "docs" / "settings.md").read_text()
    sources = "".join((ROOT / room / "settings.py").read_text() for room in ("tasks", "webapi", "workers"))
    read = set(re.findall(r"(?:env\.\w+|read_secret)\(\s*(?:env, )?\"([A-Z_]+)\"", sources))
    assert len(read) > 15
    assert [name for name in sorted(read) if f"`FOREBAY_{name}`" not in page] == []


def test_routes_page_has_every_route_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of parameters aside; what leads to `/docs/` is no part of the API."""
    secrets = dict.fromkeys(("FOREBAY_KEY_PEPPER", "FOREBAY_WEBHOOK_KEY"), "of sixteen letters")
    urls = {"FOREBAY_DATABASE_URL": "postgresql://nobody@127.0.0.1/none", "FOREBAY_REDIS_URL": "redis://127.0.0.1:1"}
    for name, value in (secrets | urls).items():
        monkeypatch.setenv(name, value)
    served = {(each.method.upper(), re.sub("{.*?}", "{id}", each.path)) for each in openapi.served(create_app())}
    table = (ROOT / "docs" / "routes.md").read_text().split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {route for row in rows for route in _routes(row)} == served | {("GET", "/")}


def _routes(cell: str) -> set[tuple[str, str]]:
    """Those of `GET`, `DELETE /v1/things/{name}`, or of `GET /one`, `GET /other`."""
    routes, methods = set(), []
    for method, path in re.findall(r"`([A-Z]+)(?: (/[^`]*))?`", cell):
        methods.append(method)
        if path:
            routes |= {(method, re.sub("{.*?}", "{id}", path)) for method in methods}
            methods = []
    return routes
