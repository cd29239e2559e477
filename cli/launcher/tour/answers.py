"""The tour's jobs of the chat model: one at a time, and many at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.client.client import ENDS, Client, Event, Job
from cli.launcher.tour import figures
from cli.launcher.tour.page import Page

FACT_SHEET = Path(__file__).with_name("fact_sheet.txt")
QUESTION = "What is the code of the harbour?"
STORY = "Tell me a story about Anna."
NAMES = ("Ben", "Clara", "David", "Emma", "Finn", "Greta", "Hugo", "Ida", "Jonas", "Kate", "Leo", "Mia")

Request = dict[str, Any]


def question() -> Request:
    """A question over the fact sheet, which has one right answer."""
    facts = FACT_SHEET.read_text(encoding="utf-8").strip()
    return chat(f"Context: {facts}\nQuestion: {QUESTION}", temperature=0, max_tokens=40)


def story(about: str, seed: int = 7) -> Request:
    return chat(f"Tell me a story about {about}.", temperature=0.8, seed=seed, max_tokens=100)


def chat(content: str, **params: float) -> Request:
    return {"type": "chat", "input": {"messages": [{"role": "user", "content": content}]}, "params": params}


def show_two(page: Page, client: Client) -> list[Job]:
    """A question and a story, their words as they come."""
    page.heading("1. A question and a story")
    page.note(
        "A client asks for a job and has its id at once; the words of the answer come while they are made. The demo "
        "model is tiny (3 million parameters): it answers questions about a few facts sent along, and tells stories."
    )
    return [
        show(page, client, QUESTION, question()),
        show(page, client, STORY, story("Anna")),
    ]


def show(page: Page, client: Client, title: str, request: Request) -> Job:
    """Has one job answered, its words as they come, then a line on how it went."""
    page.asked(title)
    job = answer(page, client.events(client.submit(request)["id"]))
    page.job(job)
    return job


def answer(page: Page, events: Iterator[Event]) -> Job:
    """Prints the text of a job's events; the job as it ended."""
    words = page.words()
    for event in events:
        if event.type == "delta":
            words.write(event.data["text"])
        elif event.type in ENDS:
            words.end()
            return event.data
    raise AssertionError("a stream ends with the job's end")


def show_many(page: Page, client: Client) -> list[Job]:
    """More jobs than the model has slots, in two lanes, and in which order they started."""
    page.heading("2. Many at once")
    page.note(
        f"{len(NAMES)} stories are asked for in the batch lane and then, last of all, a question in the interactive "
        "lane, for somebody who waits. The model works on four jobs at a time; the others wait for their turn."
    )
    asked = [client.submit(story(name) | {"lane": "batch"})["id"] for name in NAMES]
    asked.append(client.submit(question())["id"])
    jobs = [client.end(job_id) for job_id in asked]
    if failed := [job for job in jobs if job["error"]]:
        for job in failed:
            page.job(job)
    else:
        _show_order(page, jobs)
    return jobs


def _show_order(page: Page, jobs: list[Job]) -> None:
    """A line on each job in the order of their starts, then all in one sentence. The last of `jobs` is the question."""
    ordered = sorted(jobs, key=lambda job: str(job["started_at"]))
    page.line("")
    page.line(f"{'job':38}{'lane':12}{'waited':>8}{'tokens/s':>12}")
    for job in ordered:
        page.line(f"{job['id']:38}{job['lane']:12}{figures.waited_s(job):>6.2f} s{figures.rate(job):>12.0f}")
    page.line("")
    seconds, made = figures.span_s(jobs), sum(map(figures.tokens, jobs))
    page.told(
        f"{len(jobs)} jobs in {seconds:.1f} s, {made / seconds:.0f} tokens/s together. "
        f"The question was asked last and started as number {ordered.index(jobs[-1]) + 1}."
    )
