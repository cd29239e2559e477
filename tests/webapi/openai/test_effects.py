"""The list of tests that show an effect of OpenAI's properties."""

import re
from functools import cache

from flask import Flask

from benchmarks import coverage_openai
from benchmarks.members import Document
from tests.support.platform import ROOT


@cache
def cases_in(file: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)\(", (ROOT / file).read_text(), re.MULTILINE))


def test_every_test_of_the_list_is_there() -> None:
    """By its file and its name."""
    named = {tuple(id.split("::")) for id in coverage_openai.shown(coverage_openai.EFFECTS).values()}
    assert [(file, test) for file, test in sorted(named) if test not in cases_in(file)] == []


def test_every_property_of_the_list_is_on_our_page(routes: Flask) -> None:
    """So none is counted that we don't have."""
    page = Document(dict(routes.test_client().get("/openapi.json").json or {}), coverage_openai.PREFIX)
    unknown = []
    for listed in coverage_openai.shown(coverage_openai.EFFECTS):
        method, path, room, member = listed.split(" ")
        members = page.members(method.lower(), path.removeprefix(coverage_openai.PREFIX))
        if member not in members[room]:
            unknown.append(listed)
    assert unknown == []
