"""The tour brings documents, searches them, and has questions answered from them."""

from pathlib import Path

from cli.client import ask
from cli.client.client import Client, Job
from cli.launcher import lineup
from cli.launcher.tour import answers
from cli.launcher.tour.page import Page

# Collections, what they are made from, and what is searched for in them.
FILES = {
    "facts": [answers.FACT_SHEET],
    "handbook": [lineup.ROOT / "README.md", lineup.ROOT / "docs" / "operating.md"],
}
SEARCHES = {"facts": "Who helps the sick?", "handbook": "How do I run it on more than one machine?"}
QUESTIONS = ("Where is the red lamp?", "How much does the boat cost?")
PASSAGES = 2


def show(page: Page, client: Client) -> list[Job]:
    """The jobs that brought and answered; none without an embedding model. Ends early where bringing fails."""
    page.heading("4. Documents")
    if not any("embed" in model["types"] and model["workers"] for model in client.models()):
        page.note("They are left out: no model for embeddings runs. `make embedding` makes the file of one.")
        return []
    page.note(
        "Files are cut into chunks, which are embedded; a search finds the nearest by meaning and by words together. "
        "The longest file takes most of the tour's time, the first time."
    )
    # What an earlier tour brought is still there.
    new = [name for name in FILES if not (client.collection(name) or {"chunks": 0})["chunks"]]
    brought = [_bring(page, client, name, file) for name in new for file in FILES[name]]
    if any(job["status"] != "succeeded" for job in brought):
        return brought
    for name, query in SEARCHES.items():
        _search(page, client, name, query)
    return brought + [_ask(page, client, question) for question in QUESTIONS]


def _bring(page: Page, client: Client, name: str, file: Path) -> Job:
    page.asked(f"ingest {file.name} into the collection {name}")
    job = client.end(client.upload([file], {"collection": name, "title": file.name})["id"])
    if job["result"]:
        page.line(f"chunks: {job['result']['chunks']}")
    page.job(job)
    return job


def _search(page: Page, client: Client, name: str, query: str) -> None:
    page.asked(f"search {name}: {query}")
    for number, passage in enumerate(client.search(query, name, PASSAGES), 1):
        page.passage(number, passage)


def _ask(page: Page, client: Client, question: str) -> Job:
    job = answers.show(page, client, f"ask facts: {question}", ask.request(question, "facts", PASSAGES))
    for number, passage in enumerate((job["result"] or {}).get("passages", []), 1):
        page.passage(number, passage, text=False)
    return job
