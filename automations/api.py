"""The API's view of one event."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from automations import trace
from automations.models import Event
from automations.redaction import hidden_text
from queueops import privacy, visibility
from queueops.problems import RETRY_AFTER, Endpoint, refusals, requires

EXAMPLE = {
    "key": "45dfccfa56851926d80ea641a6914477",
    "kind": "comment",
    "account": "17841456778752687",
    "person": "7230796467000567",
    "source_id": "18674032191159040",
    "lane": "low",
    "outcome": "no_match",
    "reason": None,
    "received_at": "2026-11-21T22:53:42.300615+00:00",
    "finished_at": "2026-11-21T22:53:44.084856+00:00",
    "rules": [
        {
            "automation": "01a2004f-8a50-7315-ae2c-d3fa33aa47e9",
            "name": "Comment link",
            "matched": False,
            "failed": {"condition": "keyword", "expected": ["link", "price"], "seen": "nice pic"},
        }
    ],
    "deliveries": [],
    "attempts": [],
}


class FailedSerializer(serializers.Serializer[Any]):
    condition = serializers.CharField(help_text="post, keyword, payload, outranked, not_listed …")
    expected = serializers.JSONField(help_text="A text or a list of texts.")
    seen = serializers.CharField()


class LookSerializer(serializers.Serializer[Any]):
    automation = serializers.CharField()
    name = serializers.CharField(required=False)
    matched = serializers.BooleanField()
    failed = FailedSerializer(allow_null=True, help_text="The first condition that failed.")


class TracedDeliverySerializer(serializers.Serializer[Any]):
    step = serializers.IntegerField()
    kind = serializers.CharField(help_text="dm, private_reply or public_reply.")
    status = serializers.CharField(help_text="sending, sent, failed, unconfirmed or skipped.")
    message_id = serializers.CharField(allow_null=True)
    error = serializers.JSONField(allow_null=True)


class AttemptSerializer(serializers.Serializer[Any]):
    at = serializers.CharField()
    result = serializers.CharField()


class TraceSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    kind = serializers.CharField()
    account = serializers.CharField()
    person = serializers.CharField()
    source_id = serializers.CharField()
    lane = serializers.CharField()
    outcome = serializers.CharField(help_text=f"One of {', '.join(Event.Outcome.values)}.")
    reason = serializers.CharField(allow_null=True, help_text="Why it was skipped, or what went wrong last.")
    received_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    rules = LookSerializer(many=True)
    deliveries = TracedDeliverySerializer(many=True)
    attempts = AttemptSerializer(many=True)


class EventTrace(Endpoint):
    """What became of one event."""

    permission_classes = [requires("automations.view_event")]

    @extend_schema(
        operation_id="event",
        tags=["events"],
        summary="What became of one event",
        parameters=[
            OpenApiParameter(
                "key",
                str,
                OpenApiParameter.PATH,
                description="The event's key, or Meta's message or comment id; then it is the newest event with it.",
            ),
            RETRY_AFTER,
        ],
        responses={
            200: OpenApiResponse(
                TraceSerializer, description="The trace.", examples=[OpenApiExample("No rule matched", value=EXAMPLE)]
            ),
            **refusals(404),
        },
    )
    def get(self, request: Request, key: str) -> Response:
        """The whole decision about one event, by its key or by Meta's message or comment id.

        What people wrote (`seen`) is shown with the permission queueops.see_text only.
        """
        found = trace.find(key.removesuffix("/"))
        if found is None or not visibility.may_see(request.user, found["account"]):
            raise NotFound("No event has this key, message id or comment id.")
        if not privacy.may_see_text(request.user):
            found |= hidden_text(found)
        return Response(found)
