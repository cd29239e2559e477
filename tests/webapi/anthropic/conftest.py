"""Anthropic's own client of the platform that tests share, as any program would make it: a base URL and a key."""

from collections.abc import Iterator

import pytest
from anthropic import Anthropic

from tests.support.platform import Stack


@pytest.fixture
def sdk(stack: Stack) -> Iterator[Anthropic]:
    """One that doesn't ask again: what a test sees is what was answered. Its key is in a header of its own."""
    with Anthropic(base_url=stack.url, api_key=stack.key, max_retries=0, timeout=90) as client:
        yield client
