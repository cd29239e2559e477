"""`forebay run`: a chat in the terminal."""

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import click

from cli.client import client as api
from cli.client import demo, submit, watch
from cli.client.client import Client, Job

HINT = "Ctrl-C stops an answer, /clear forgets what was said, Ctrl-D or /bye leaves."

Message = dict[str, str]


@dataclass(slots=True)
class Chat:
    """What was said so far, and how the next answer is asked for."""

    client: Client
    model: str | None
    system: str | None
    params: dict[str, Any]
    messages: list[Message] = field(default_factory=list)

    def forget(self) -> None:
        self.messages.clear()

    def ask(self, text: str) -> Job | None:
        """Prints the answer as it comes; the job as it ended, None for one that Ctrl-C stopped.

        An answer that was stopped stays said as far as it came; a question that failed is taken back.
        """
        question, said, job = {"role": "user", "content": text}, list[str](), None
        ended: Job | None = None
        try:
            job = self.client.submit(self._request([*self.messages, question]))
            ended = watch.follow(self.client, job["id"], said)
        except KeyboardInterrupt:
            click.echo()
            if job:
                self.client.cancel(job["id"])
        if said and (ended is None or ended["status"] == "succeeded"):
            self.messages += [question, {"role": "assistant", "content": "".join(said)}]
        return ended

    def _request(self, messages: list[Message]) -> dict[str, Any]:
        before = [] if self.system is None else [{"role": "system", "content": self.system}]
        asked = {"type": "chat", "params": self.params, "input": {"messages": [*before, *messages]}}
        return asked if self.model is None else asked | {"model": self.model}


@click.command()
@click.argument("model", required=False)
@click.option("--system", help="What the model should know before all else.")
@click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="As in --param temperature=0.")
@api.options
def run(client: Client, model: str | None, system: str | None, params: tuple[str, ...]) -> None:
    """Chat with MODEL, or with the one that serves chats by default.

    Where stdin is no terminal it is read to its end as one message; status 1 unless that is answered.
    """
    chat = Chat(client, model, system, dict(submit.assignment("--param", param) for param in params))
    models = client.models()
    refuse_unable(models, model)
    if sys.stdin.isatty():
        talk(chat, HINT if _answers(models, model) != demo.MODEL else f"{HINT}\n{demo.HINT}")
    elif (job := chat.ask(_plain(sys.stdin.read()))) is None or job["status"] != "succeeded":
        sys.exit(1)


def talk(chat: Chat, hint: str) -> None:
    """Asks at the prompt and answers, until somebody leaves."""
    with suppress(ImportError):
        import readline  # noqa: F401 - `input` edits lines and remembers them with it
    _say(hint)
    while (text := _line()) not in (None, "/bye"):
        if text == "/clear":
            chat.forget()
        elif text == "/help":
            _say(HINT)
        elif text:
            _answer(chat, text)


def _answer(chat: Chat, text: str) -> None:
    """What goes wrong with one answer is told, and doesn't end the chat."""
    try:
        job = chat.ask(text)
    except click.ClickException as error:
        _say(f"Error: {error.format_message()}")
        return
    if job and (job["error"] or {}).get("code") == "context_length_exceeded" and chat.messages:
        _say("/clear makes room.")


def refuse_unable(models: list[dict[str, Any]], wanted: str | None) -> None:
    """Raises `ClickException` when the model, or every model, can't chat."""
    able = [model["id"] for model in models if "chat" in model["types"]]
    named = next((model for model in models if model["id"] == wanted), None)
    if wanted in able or (wanted is None and able):
        return
    others = f"; these can: {', '.join(able)}" if able else ""
    if wanted is None:
        raise click.ClickException("no model serves chats")
    if named is None:
        raise click.ClickException(f"no model {wanted}{others}")
    instead = ""
    if "generate" in named["types"]:
        instead = f" `forebay submit --watch --type generate --model {wanted} PROMPT` asks it."
    raise click.ClickException(f"{wanted} serves {', '.join(named['types'])}, not chats{others}.{instead}")


def _answers(models: list[dict[str, Any]], wanted: str | None) -> str | None:
    """The model that answers where this one is wanted, or none is named."""
    able = (model["id"] for model in models if "chat" in model["types"] and model["default"])
    return wanted or next(able, None)


def _line() -> str | None:
    """What was typed; None at the end."""
    try:
        return _plain(input("> ")).strip()
    except EOFError:
        click.echo()
        return None
    except KeyboardInterrupt:
        click.echo()
        return ""


def _plain(text: str) -> str:
    """What isn't UTF-8 can't be sent."""
    return text.encode(errors="replace").decode()


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
