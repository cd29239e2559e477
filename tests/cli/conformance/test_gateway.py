"""The server between OpenAI's tests and the API, in front of the real platform."""

import httpx
import pytest

from cli.conformance import gateway
from cli.conformance.gateway import Gateway
from cli.conformance.ids import Within
from cli.conformance.stack import Platform
from tests.support.platform import Stack


class Made:
    """What was made for the tests."""

    def store(self) -> str:
        return "chatcmpl-none"

    def file(self) -> str:
        return "file-real"

    def upload(self) -> tuple[str, str, str]:
        return "upload_real", "part_real", "d"

    def lines(self) -> str:
        return "file-lines"

    def batch(self) -> str:
        return "batch_real"

    def response(self, *, background: bool = False) -> Within:
        return Within("resp_slow" if background else "resp_real", "msg_real")

    def conversation(self) -> Within:
        return Within("conv_real", "msg_real")

    def vector_store(self) -> str:
        return "vs_real"

    def vector_store_file(self) -> Within:
        return Within("vs_real", "file-within")

    def vector_store_batch(self) -> tuple[Within, str]:
        return Within("vs_real", "vsfb_real"), "file-in-batch"


MADE = Made()
ASKED = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 2}


@pytest.mark.parametrize(("relaxes", "status"), [(True, 200), (False, 400)])
def test_a_contradiction_is_left_out_only_where_that_is_asked_for(stack: Stack, relaxes: bool, status: int) -> None:
    """The same call with it and without; whoever asks has any key."""
    door = Gateway(stack.url, stack.key, relaxes, MADE)
    with gateway.served(door) as url:
        asked = {**ASKED, "max_tokens": 0}
        answer = httpx.post(f"{url}/v1/chat/completions", json=asked, headers={"Authorization": "Bearer My API Key"})
    assert (answer.status_code, door.passed.created) == (status, int(relaxes))


def test_streams_pass_through_and_count_as_jobs(stack: Stack) -> None:
    """As many calls were answered as jobs were made."""
    platform = Platform(stack.url, stack.key)
    before = platform.jobs()
    door = Gateway(stack.url, stack.key, False, MADE)
    with gateway.served(door) as url:
        answer = httpx.post(f"{url}/v1/chat/completions", json={**ASKED, "stream": True})
    assert answer.text.endswith("data: [DONE]\n\n")
    assert platform.jobs() - before == door.passed.created == 1


def test_what_is_erased_is_counted_as_a_job_that_was_there(stack: Stack) -> None:
    """Of a stored completion that a test deletes, the job goes too."""
    platform = Platform(stack.url, stack.key)
    stored = httpx.post(
        f"{stack.url}/v1/chat/completions",
        json={**ASKED, "store": True},
        headers={"Authorization": f"Bearer {stack.key}"},
    ).json()["id"]
    before = platform.jobs()
    door = Gateway(stack.url, stack.key, False, MADE)
    with gateway.served(door) as url:
        assert httpx.delete(f"{url}/v1/chat/completions/{stored}").status_code == 200
    assert platform.jobs() + door.passed.erased == before
