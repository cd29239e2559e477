"""`forebay run`, at a terminal and without one."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.client.client import Client
from cli.main import main
from tests.cli.standin import StandIn, standing_in
from tests.cli.terminal import END, INTERRUPT, terminal
from tests.support.platform import Stack

CHATTY = {"id": "chatty", "types": ["generate", "chat"], "default": True}
TERSE = {"id": "terse", "types": ["generate"], "default": False}
DEMO = {"id": "demo-chat", "types": ["generate", "chat"], "default": True}


def says(server: StandIn, *answers: str) -> None:
    """What the next jobs answer; it isn't streamed in pieces of their own."""
    server.models = [CHATTY, TERSE]
    server.events = [("delta", {"text": "well"})]
    server.ends = [("succeeded", {"message": {"role": "assistant", "content": answer}}, None) for answer in answers]


def asked(server: StandIn) -> list[list[tuple[str, str]]]:
    """The messages of each request."""
    return [[(message["role"], message["content"]) for message in body["input"]["messages"]] for body in server.asked]


def run(server: StandIn, *argv: str, stdin: str = "") -> Result:
    env = {"FOREBAY_URL": server.url, "FOREBAY_KEY": "fb_x"}
    return CliRunner().invoke(main, ["run", *argv], input=stdin, env=env)


def test_chat_goes_on_from_what_was_said_until_it_is_cleared() -> None:
    """Each question comes with the questions and answers before it; the system's word stands before all."""
    with standing_in() as server:
        says(server, *["well"] * 3)
        with terminal("run", "--system", "Be brief.", FOREBAY_URL=server.url, FOREBAY_KEY="fb_x") as shown:
            for line in ("one", "", "two", "/clear", "three"):
                shown.expect("> ")
                shown.type(f"{line}\n")
            shown.expect("well\n> ")
            shown.type(END)
            assert shown.status() == 0
        before = ("system", "Be brief.")
        first, answer = ("user", "one"), ("assistant", "well")
        assert asked(server) == [[before, first], [before, first, answer, ("user", "two")], [before, ("user", "three")]]
        assert all("model" not in body for body in server.asked)


@pytest.mark.parametrize(("models", "argv", "hinted"), [
    ([DEMO, CHATTY | {"default": False}], [], True),
    ([CHATTY, DEMO | {"default": False}], ["demo-chat"], True),
    ([CHATTY, DEMO | {"default": False}], [], False),
    ([DEMO, CHATTY | {"default": False}], ["chatty"], False),
])  # fmt: skip
def test_demo_model_is_called_tiny_at_the_prompt(models: list[dict[str, Any]], argv: list[str], hinted: bool) -> None:
    """Once, where it is the one that answers."""
    with standing_in() as server:
        server.models = models
        with terminal("run", *argv, FOREBAY_URL=server.url, FOREBAY_KEY="fb_x") as shown:
            assert ("demo-chat is tiny" in shown.expect("> ")) == hinted
            shown.type(END)
            assert shown.status() == 0


def test_question_that_fails_is_taken_back_and_the_chat_goes_on() -> None:
    """Its error is told; one that a full context made says how to make room."""
    error = {"code": "context_length_exceeded", "message": "600 tokens are more than 512"}
    with standing_in() as server:
        says(server, "well", "", "well")
        server.ends[1] = ("failed", None, error)
        with terminal("run", "chatty", FOREBAY_URL=server.url, FOREBAY_KEY="fb_x") as shown:
            shown.expect("> ")
            shown.type("one\n")
            shown.expect("well\n> ")
            shown.type("two\n")
            assert "failed: 600 tokens are more than 512" in shown.expect("/clear makes room.")
            shown.type("three\n")
            shown.expect("well\n> ")
            shown.type("/bye\n")
            assert shown.status() == 0
        assert asked(server)[2] == [("user", "one"), ("assistant", "well"), ("user", "three")]


def test_interrupt_cancels_the_answer_and_not_the_chat(stack: Stack) -> None:
    """Its words so far stay said; at the prompt an interrupt does nothing."""
    env = {"FOREBAY_URL": stack.url, "FOREBAY_KEY": stack.key}
    with terminal("run", "echo", "--param", "temperature=0", **env) as shown:
        shown.expect("> ")
        shown.insist(INTERRUPT, "> ")
        shown.type(f"{'word ' * 400}typed\n")
        shown.expect("typed\n")
        shown.expect("word")
        shown.type(INTERRUPT)
        shown.expect("\n> ")
        shown.type("/bye\n")
        assert shown.status() == 0
    with Client(stack.url, stack.key) as client:
        assert client.jobs(model="echo", limit=1)[0]["status"] == "cancelled"


def test_without_a_terminal_stdin_is_one_message() -> None:
    """The answer alone is printed, and the status says whether there is one."""
    with standing_in() as server:
        says(server, "well", "")
        server.ends[1] = ("failed", None, {"code": "internal", "message": "a slip"})
        answered = run(server, "chatty", "--param", "temperature=0", stdin="line one\nline two\n")
        assert (answered.exit_code, answered.stdout) == (0, "well\n")
        assert asked(server) == [[("user", "line one\nline two\n")]]
        assert (server.asked[0]["model"], server.asked[0]["params"]) == ("chatty", {"temperature": 0})
        failed = run(server, stdin="again")
        assert (failed.exit_code, "a slip" in failed.stderr) == (1, True)


@pytest.mark.parametrize(
    ("models", "argv", "told"),
    [
        ([CHATTY, TERSE], ["terse"], "--type generate --model terse PROMPT"),
        ([CHATTY, TERSE], ["other"], "no model other; these can: chatty"),
        ([TERSE], [], "no model serves chats"),
    ],
)
def test_model_that_cannot_chat_is_refused_before_anything_is_asked(
    models: list[dict[str, Any]], argv: list[str], told: str
) -> None:
    """With what can be done instead."""
    with standing_in() as server:
        server.models = models
        refused = run(server, *argv, stdin="hello")
        assert (refused.exit_code, server.asked) == (1, [])
        assert told in refused.stderr
