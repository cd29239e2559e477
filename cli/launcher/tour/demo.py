"""`forebay demo`: a tour. Everything is started, jobs are answered, a worker is killed, documents are searched."""

import sys
import time
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console

from cli.client.client import DEFAULT_URL, Client, Job
from cli.launcher import datafolder, ports
from cli.launcher.tour import answers, documents, killing
from cli.launcher.tour.launched import Launched, launched
from cli.launcher.tour.page import Page

# What to type next, and what that does where it doesn't say it itself.
COMMANDS = {
    ".venv/bin/forebay run": "a chat",
    '.venv/bin/forebay submit --watch "Tell me a story about Clara."': "",
    '.venv/bin/forebay ask "Who likes honey?" --collection facts': "",
    ".venv/bin/forebay jobs": "what was asked, and how it went",
    ".venv/bin/forebay status": "which parts are there, and each model's workers",
}


@click.command()
@datafolder.option("Where everything is kept.")
@click.option("--port", type=ports.OfApi, help=f"Of the API.  [default: {ports.API}, or the next that is free]")
@click.option(
    "--flower-port", type=ports.OfApi, help=f"Of Flower.  [default: {ports.FLOWER}, or the next that is free]"
)
@click.option("--exit", "leave", is_flag=True, envvar="DEMO_EXIT", help="Stop everything after the tour.")
def demo(data: Path, port: int | None, flower_port: int | None, leave: bool) -> None:
    """Start everything, give a tour of a minute, and keep running until Ctrl-C.

    Status 1 when a job fails, or when what was started stops by itself.
    """
    page = Page(Console(highlight=False, emoji=False))
    page.heading("Forebay")
    page.note("Everything is started, which takes some ten seconds; minutes where the machine is busy.")
    began_at = time.monotonic()
    with launched(data, port, flower_port, page.aside) as platform:
        page.told(f"Ready after {time.monotonic() - began_at:.0f} s at {platform.url}")
        jobs = give_tour(page, platform)
        show_places(page, platform)
        show_commands(page, platform)
        if leave:
            page.note("Everything stops now.")
        else:
            page.told("Everything keeps running until Ctrl-C.")
            with suppress(KeyboardInterrupt):
                platform.process.wait()
                sys.exit("what was started has stopped by itself")
    if any(job["status"] != "succeeded" for job in jobs):
        sys.exit(1)


def give_tour(page: Page, platform: Launched) -> list[Job]:
    """All the stops; the jobs that were asked for."""
    with Client(platform.url, platform.key) as client:
        return [
            *answers.show_two(page, client),
            *answers.show_many(page, client),
            *killing.show(page, client, platform.folder),
            *documents.show(page, client),
        ]


def show_places(page: Page, platform: Launched) -> None:
    """Where the pages are, and what opens them."""
    user, password = platform.flower_login
    page.heading("Where to look")
    page.line(f"The API   {platform.url}/docs/   every route, to be tried out")
    page.line(f"its key   {platform.key}")
    page.line(f"Flower    {platform.flower_url}   {user}, password {password}")
    page.line(f"Logs      {platform.folder.logs}")


def show_commands(page: Page, platform: Launched) -> None:
    """What to type next."""
    page.heading("What to try next, in another terminal, in this folder")
    if platform.url != DEFAULT_URL or platform.folder.root != Path(datafolder.DEFAULT):
        page.line(f"export FOREBAY_URL={platform.url}")
        page.line(f"export FOREBAY_KEY={platform.key}")
    for command, why in COMMANDS.items():
        page.line(f"{command:24}  # {why}" if why else command)
    page.line("")
