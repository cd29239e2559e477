"""What OpenAI's tests ask, as it is passed on."""

import json
from typing import Any

import pytest

from cli.conformance import rewriting
from cli.conformance.asked import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Asked


def left_out(path: str, **body: Any) -> set[str]:
    """The fields of such a body that aren't passed on."""
    asked, relaxations = rewriting.relaxed(Asked("POST", path, body=json.dumps(body).encode()))
    gone = set(body) - set(json.loads(asked.body))
    assert gone == {relaxation.field for relaxation in relaxations}
    return gone


@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        (f"{CHAT}/completion_id", "", f"{CHAT}/real"),
        (CHAT, "after=after&metadata%5Bfoo%5D=string", f"{CHAT}?after=real&metadata%5Bfoo%5D=string"),
        (f"{CHAT}/completion_id/messages", "after=after", f"{CHAT}/real/messages?after=real-0"),
        (CHAT, "after=another", f"{CHAT}?after=another"),
    ],
)
def test_made_up_ids_become_real(path: str, query: str, target: str) -> None:
    """A path's, and the one that a page begins after."""
    assert rewriting.named(Asked("GET", path, query), "real").target == target


def test_only_what_contradicts_itself_is_left_out() -> None:
    """The same fields with a meaning are passed on as they are."""
    assert left_out(CHAT, model="m", max_tokens=0, functions=[], tools=[], logit_bias={"foo": 0}) == {
        "max_tokens",
        "functions",
        "logit_bias",
    }
    assert left_out(CHAT, model="m", max_tokens=1, functions=[], logit_bias={"7": 0}, verbosity="medium") == set()
    assert left_out(COMPLETIONS, prompt="p", best_of=0, echo=True, logprobs=0) == {"best_of", "logprobs"}
    assert left_out(COMPLETIONS, prompt="p", best_of=2, logprobs=0) == set()
    assert left_out(EMBEDDINGS, input="i", dimensions=1, encoding_format="base64") == {"dimensions", "encoding_format"}
    assert left_out(EMBEDDINGS, input="i", dimensions=384, encoding_format="float") == set()


def test_a_field_within_another_is_left_out_alone() -> None:
    """What stands beside it stays."""
    body = {"text": {"format": {"type": "text"}, "verbosity": "low"}, "conversation": "c", "previous_response_id": "r"}
    asked, left_out = rewriting.relaxed(Asked("POST", RESPONSES, body=json.dumps(body).encode()))
    assert json.loads(asked.body) == {"text": {"format": {"type": "text"}}, "conversation": "c"}
    assert {one.field for one in left_out} == {"text.verbosity", "previous_response_id"}


def test_requests_that_create_nothing_pass_untouched() -> None:
    """Notes on a stored completion are none of the create calls."""
    asked = Asked("POST", f"{CHAT}/real", body=b'{"metadata": {"max_tokens": "0"}}')
    assert rewriting.relaxed(asked) == (asked, [])
    assert not asked.creates
    assert Asked("DELETE", f"{CHAT}/completion_id").erases
