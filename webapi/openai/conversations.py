"""`/v1/conversations`."""

from typing import Any

from flask import Response

from dialects.named import CONVERSATION
from dialects.openai.render import conversations as rendered
from dialects.openai.render import items as rendered_items
from dialects.openai.render.conversations import ConversationItemList, DeletedConversation, OpenAIConversation
from dialects.openai.render.items import ConversationItem
from dialects.openai.requests import conversations as requests
from dialects.openai.requests.included import IncludeQuery, included
from tasks.conversations import conversations, items
from tasks.conversations.items import Page
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.openai import errors

blueprint = Blueprint(
    "conversations",
    __name__,
    description="OpenAI's conversations: items in order, which responses read and go on with.",
)
errors.register(blueprint)

_NOTES = Limits(lambda own: 64 * 1024, values=200)  # noqa: ARG005 whatever the settings say
_ITEMS = Limits(lambda own: own.max_body_bytes, values=20_000)
_ITEM = {"in": "path", "name": "item_id", "required": True, "schema": {"type": "string"}}
_PATH, _PATHS = [CONVERSATION.in_path], [CONVERSATION.in_path, _ITEM]


@blueprint.route("/v1/conversations", methods=["POST"])
@blueprint.takes(_ITEMS)
@blueprint.arguments(requests.NewConversation, example=requests.EXAMPLE)
@blueprint.response(200, OpenAIConversation)
@blueprint.answers(400, 401, 413, 415, 500, 503)
def create(given: dict[str, Any]) -> Response:
    """Make a conversation

    With up to 20 items in it.
    """
    first = items.new(requests.items(given))
    with service.current().sessions.begin() as session:
        made = conversations.create(session, auth.caller(), given.get("metadata", {}), first)
    return reply(rendered.conversation(made))


@blueprint.route("/v1/conversations/<conversation_id>", methods=["GET"], parameters=_PATH)
@blueprint.response(200, OpenAIConversation)
@blueprint.answers(401, 404, 500, 503)
def show(conversation_id: str) -> Response:
    """Look at a conversation"""
    id = CONVERSATION.parse(conversation_id)
    with service.current().sessions.begin() as session:
        found = conversations.get(session, auth.caller(), id)
    return reply(rendered.conversation(found))


@blueprint.route("/v1/conversations/<conversation_id>", methods=["POST"], parameters=_PATH)
@blueprint.takes(_NOTES)
@blueprint.arguments(requests.ChangedConversation, example={"metadata": {"topic": "harbours"}})
@blueprint.response(200, OpenAIConversation)
@blueprint.answers(400, 401, 404, 413, 415, 500, 503)
def update(given: dict[str, Any], conversation_id: str) -> Response:
    """Note something on a conversation"""
    id = CONVERSATION.parse(conversation_id)
    with service.current().sessions.begin() as session:
        noted = conversations.note(session, auth.caller(), id, given.get("metadata", {}))
    return reply(rendered.conversation(noted))


@blueprint.route("/v1/conversations/<conversation_id>", methods=["DELETE"], parameters=_PATH)
@blueprint.response(200, DeletedConversation)
@blueprint.answers(401, 404, 500, 503)
def delete(conversation_id: str) -> Response:
    """Delete a conversation

    Its items go with it. The responses that were made in it stay, with what each had read, as does one that is being
    made.
    """
    id = CONVERSATION.parse(conversation_id)
    with service.current().sessions.begin() as session:
        conversations.delete(session, auth.caller(), id)
    answer: DeletedConversation = {"id": conversation_id, "object": "conversation.deleted", "deleted": True}
    return reply(answer)


@blueprint.route("/v1/conversations/<conversation_id>/items", methods=["POST"], parameters=_PATH)
@blueprint.takes(_ITEMS)
@blueprint.arguments(IncludeQuery, location="query")
@blueprint.arguments(requests.NewItems, example=requests.EXAMPLE)
@blueprint.response(200, ConversationItemList)
@blueprint.answers(400, 401, 404, 413, 414, 415, 500, 503)
def add(query: dict[str, Any], given: dict[str, Any], conversation_id: str) -> Response:
    """Put items into a conversation

    Up to 20, at its end. It may have 10,000, of 4 MiB together: then this is 400 `conversation_full`.
    """
    id, read = CONVERSATION.parse(conversation_id), requests.items(given)
    coming = items.new(read)
    with service.current().sessions.begin() as session:
        items.add(session, auth.caller(), id, coming)
    return reply(rendered.listed(Page(read, more=False), included(query)))


@blueprint.route("/v1/conversations/<conversation_id>/items", methods=["GET"], parameters=_PATH)
@blueprint.arguments(requests.ItemListQuery, location="query")
@blueprint.response(200, ConversationItemList)
@blueprint.answers(400, 401, 404, 414, 500, 503)
def browse(query: dict[str, Any], conversation_id: str) -> Response:
    """List a conversation's items

    Fewer than `limit` where they are large: `has_more` says whether there are more.
    """
    id, newest_first = CONVERSATION.parse(conversation_id), query["order"] == "desc"
    with service.current().sessions.begin() as session:
        found = items.page(
            session, auth.caller(), id, limit=query["limit"], after=query.get("after"), newest_first=newest_first
        )
    return reply(rendered.listed(found, included(query)))


@blueprint.route("/v1/conversations/<conversation_id>/items/<item_id>", methods=["GET"], parameters=_PATHS)
@blueprint.arguments(IncludeQuery, location="query")
@blueprint.response(200, ConversationItem)
@blueprint.answers(400, 401, 404, 414, 500, 503)
def show_item(query: dict[str, Any], conversation_id: str, item_id: str) -> Response:
    """Look at an item of a conversation"""
    id = CONVERSATION.parse(conversation_id)
    with service.current().sessions.begin() as session:
        found = items.get(session, auth.caller(), id, item_id)
    return reply(rendered_items.shown(found, included(query)))


@blueprint.route("/v1/conversations/<conversation_id>/items/<item_id>", methods=["DELETE"], parameters=_PATHS)
@blueprint.response(200, OpenAIConversation)
@blueprint.answers(401, 404, 500, 503)
def delete_item(conversation_id: str, item_id: str) -> Response:
    """Take an item out of a conversation

    The answer is the conversation. Responses that were made in it while it was there keep it.
    """
    id = CONVERSATION.parse(conversation_id)
    with service.current().sessions.begin() as session:
        left = items.delete(session, auth.caller(), id, item_id)
    return reply(rendered.conversation(left))
