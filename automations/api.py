"""The API's view of one event."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from automations import trace
from automations.models import Event
from automations.redaction import without_text
from queueops import privacy
from queueops.problems import Endpoint, ProblemSerializer, requires

PROBLEMS = {(status, "application/problem+json"): ProblemSerializer for status in (401, 403, 404, 503)}


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
        parameters=[OpenApiParameter("key", str, OpenApiParameter.PATH)],
        responses={200: TraceSerializer, **PROBLEMS},
    )
    def get(self, request: Request, key: str) -> Response:
        """The whole decision about one event, by its key or by Meta's message or comment id.

        What people wrote (`seen`) is shown with the permission queueops.see_text only.
        """
        found = trace.find(key.removesuffix("/"))
        if found is None:
            raise NotFound("No event has this key, message id or comment id.")
        if not privacy.may_see_text(request.user):
            found["rules"] = without_text(found["rules"])
        return Response(found)
