"""How answers are written."""

import math
from typing import Any

import pytest

from webapi.api import reply


def test_answer_keeps_its_order_and_its_letters() -> None:
    """In UTF-8, without spaces."""
    response = reply({"b": [1, 2.5, None, True], "a": {"text": "Grüße, 世界"}}, 202)
    assert response.get_data() == '{"b":[1,2.5,null,true],"a":{"text":"Grüße, 世界"}}'.encode()
    assert (response.status_code, response.mimetype) == (202, "application/json")


@pytest.mark.parametrize("value", [math.nan, math.inf, [None, -math.inf], {"score": math.nan}, 2**64])
def test_number_that_json_does_not_have_is_refused(value: Any) -> None:
    """None of them becomes a null, or a number that readers round."""
    with pytest.raises(ValueError, match=r"JSON|64-bit"):
        reply(value)
