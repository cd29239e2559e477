"""Conversations and their items in OpenAI's words."""

from collections.abc import Collection
from typing import Any, Literal, TypedDict

from dialects.named import CONVERSATION
from dialects.openai.render.items import ConversationItem, shown
from tasks.conversations.conversations import ConversationView
from tasks.conversations.items import Page


class OpenAIConversation(TypedDict):
    id: str
    object: Literal["conversation"]
    created_at: int
    metadata: dict[str, str]


class DeletedConversation(TypedDict):
    id: str
    object: Literal["conversation.deleted"]
    deleted: bool


class ConversationItemList(TypedDict):
    object: Literal["list"]
    data: list[ConversationItem]
    first_id: str | None
    last_id: str | None
    has_more: bool


def conversation(found: ConversationView) -> OpenAIConversation:
    return {
        "id": CONVERSATION.show(found.id),
        "object": "conversation",
        "created_at": int(found.created_at.timestamp()),
        "metadata": dict(found.metadata),
    }


def listed(page: Page, include: Collection[str]) -> dict[str, Any]:
    """As `ConversationItemList` has it."""
    data = [shown(item, include) for item in page.items]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": page.more}
