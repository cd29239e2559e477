"""OpenAI's client for Python, as any program would make it: a base URL and a key."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.support.platform import Stack


@pytest.fixture
def sdk(stack: Stack) -> Iterator[OpenAI]:
    """One that doesn't ask again: what a test sees is what was answered."""
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0, timeout=90) as client:
        yield client
