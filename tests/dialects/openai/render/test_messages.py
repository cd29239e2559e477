"""What a stored completion was asked, as OpenAI tells it."""

from dialects.openai.render.messages import messages


def test_messages_are_named_after_their_places() -> None:
    """A text is a text, parts are parts and together one text, calls are calls."""
    call = {"id": "call_1", "name": "look", "arguments": "{}"}
    text, parts, calls, result = messages(
        "chatcmpl-1",
        [
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "seen", "tool_call_id": "call_1"},
        ],
    )
    assert [message["id"] for message in (text, parts)] == ["chatcmpl-1-0", "chatcmpl-1-1"]
    assert (text["content"], text["content_parts"]) == ("a", None)
    assert (parts["content"], [part["text"] for part in parts["content_parts"] or ()]) == ("a\nb", ["a", "b"])
    assert calls["content"] is None
    assert [made["function"]["name"] for made in calls.get("tool_calls", ())] == ["look"]
    assert result.get("tool_call_id") == "call_1"
