"""Webhooks over HTTP: endpoints, their secrets, and what was sent to them."""

from typing import Any

from flask import Response

from dialects.named import DELIVERY, WEBHOOK
from tasks.webhooks import deliveries, endpoints
from tasks.webhooks.deliveries import DeliveryView
from webapi import auth, service
from webapi.api import Blueprint, reply
from webapi.body import Limits
from webapi.v1.paging import List, paged
from webapi.v1.webhooks import answers, requests

blueprint = Blueprint("webhooks", __name__, description="Telling a receiver that jobs have ended.")

_LOCATION = {"Location": {"description": "The webhook.", "schema": {"type": "string"}}}
_LIMITS = Limits(lambda own: own.max_body_bytes, values=1_000)
_WEBHOOK = "/v1/webhooks/<webhook_id>"


@blueprint.route("/v1/webhooks", methods=["POST"])
@blueprint.takes(_LIMITS)
@blueprint.arguments(requests.NewWebhook, example=requests.EXAMPLE)
@blueprint.response(201, answers.Webhook, headers=_LOCATION, description="Made. Keep the secret: it isn't shown again.")
@blueprint.answers(400, 401, 409, 413, 415, 422, 500, 503)
def create(given: dict[str, Any]) -> Response:
    """Make a webhook

    Messages follow Standard Webhooks: verify their signature with the secret of this answer.
    """
    serving = service.current()
    with serving.sessions.begin() as session:
        made = endpoints.create(session, auth.caller(), serving.settings.webhooks, **given)
    response = reply(answers.webhook(made), 201)
    response.headers["Location"] = f"/v1/webhooks/{WEBHOOK.show(made.id)}"
    return response


@blueprint.route("/v1/webhooks", methods=["GET"])
@blueprint.response(200, answers.WebhookList)
@blueprint.answers(401, 500, 503)
def browse() -> Response:
    """List webhooks, oldest first"""
    with service.current().sessions.begin() as session:
        found = endpoints.listed(session, auth.caller())
    return reply({"object": "list", "data": [answers.webhook(webhook) for webhook in found]})


@blueprint.route(_WEBHOOK, methods=["GET"], parameters=[WEBHOOK.in_path])
@blueprint.response(200, answers.Webhook)
@blueprint.answers(401, 404, 500, 503)
def show(webhook_id: str) -> Response:
    """Look at a webhook"""
    with service.current().sessions.begin() as session:
        found = endpoints.get(session, auth.caller(), WEBHOOK.parse(webhook_id))
    return reply(answers.webhook(found))


@blueprint.route(_WEBHOOK, methods=["PATCH"], parameters=[WEBHOOK.in_path])
@blueprint.takes(_LIMITS)
@blueprint.arguments(requests.WebhookChanges, example={"disabled": True})
@blueprint.response(200, answers.Webhook)
@blueprint.answers(400, 401, 404, 413, 415, 422, 500, 503)
def change(given: dict[str, Any], webhook_id: str) -> Response:
    """Change a webhook

    What is pending goes to the new URL; while the webhook is disabled, it fails when its turn comes.
    """
    serving = service.current()
    with serving.sessions.begin() as session:
        policy = serving.settings.webhooks.policy
        changed = endpoints.change(session, auth.caller(), policy, WEBHOOK.parse(webhook_id), given)
    return reply(answers.webhook(changed))


@blueprint.route(_WEBHOOK, methods=["DELETE"], parameters=[WEBHOOK.in_path])
@blueprint.response(204, description="It is gone, with its secrets and deliveries.")
@blueprint.answers(401, 404, 500, 503)
def delete(webhook_id: str) -> Response:
    """Delete a webhook"""
    with service.current().sessions.begin() as session:
        endpoints.delete(session, auth.caller(), WEBHOOK.parse(webhook_id))
    return Response(status=204)


@blueprint.route(f"{_WEBHOOK}/rotate", methods=["POST"], parameters=[WEBHOOK.in_path])
@blueprint.response(200, answers.Webhook, description="With its new secret, which isn't shown again.")
@blueprint.answers(401, 404, 500, 503)
def rotate(webhook_id: str) -> Response:
    """Give a webhook a new secret

    For 24 hours messages carry two signatures, by the new secret and by the one before.
    """
    serving = service.current()
    with serving.sessions.begin() as session:
        rotated = endpoints.rotate(session, auth.caller(), serving.settings.webhooks, WEBHOOK.parse(webhook_id))
    return reply(answers.webhook(rotated))


@blueprint.route(f"{_WEBHOOK}/test", methods=["POST"], parameters=[WEBHOOK.in_path])
@blueprint.response(202, answers.Delivery, description="It is being sent.")
@blueprint.answers(401, 404, 409, 500, 503)
def test(webhook_id: str) -> Response:
    """Send a message of the type `webhook.test`"""
    with service.current().sessions.begin() as session:
        sent = deliveries.test(session, auth.caller(), WEBHOOK.parse(webhook_id))
    return reply(answers.delivery(sent), 202)


@blueprint.route("/v1/webhook-secret/rotate", methods=["POST"])
@blueprint.response(200, answers.NewSecret)
@blueprint.answers(401, 500, 503)
def rotate_own() -> Response:
    """Make a new secret for the URLs that jobs name

    For 24 hours messages carry two signatures, by the new secret and by the one before.
    """
    serving = service.current()
    with serving.sessions.begin() as session:
        secret = endpoints.rotate_own(session, auth.caller(), serving.settings.webhooks)
    return reply({"object": "webhook_secret", "secret": secret})


@blueprint.route("/v1/deliveries", methods=["GET"])
@blueprint.arguments(requests.DeliveriesQuery, location="query")
@blueprint.response(200, List[answers.Delivery])
@blueprint.answers(401, 414, 422, 500, 503)
@paged(answers.delivery, after=lambda delivery: DELIVERY.show(delivery.id))
def browse_deliveries(query: dict[str, Any]) -> tuple[list[DeliveryView], bool]:
    """List deliveries, newest first"""
    with service.current().sessions.begin() as session:
        return deliveries.page(session, auth.caller(), **query)


@blueprint.route("/v1/deliveries/<delivery_id>/redeliver", methods=["POST"], parameters=[DELIVERY.in_path])
@blueprint.response(202, answers.Delivery, description="It is being sent, with the same `webhook-id`.")
@blueprint.answers(401, 404, 409, 500, 503)
def redeliver(delivery_id: str) -> Response:
    """Send a message again

    409 for one about a job that wasn't kept (`store`: false): what it said is erased with what the job said.
    """
    with service.current().sessions.begin() as session:
        sent = deliveries.redeliver(session, auth.caller(), DELIVERY.parse(delivery_id))
    return reply(answers.delivery(sent), 202)
