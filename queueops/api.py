"""The operators' and monitors' API: the snapshot, and dead letters to browse and to retry."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from queueops import operators, stats
from queueops.audit import API, By
from queueops.models import DeadLetter
from queueops.problems import Conflict, Endpoint, ProblemSerializer, requires
from queueops.serializers import (
    DeadLetterFilters,
    DeadLetterPageSerializer,
    DeadLetterSerializer,
    ReasonSerializer,
    RetriedManySerializer,
    RetriedSerializer,
    RetryFilters,
    SnapshotSerializer,
)

# Keeps one call to some seconds; the answer says how many remain.
RETRIED_AT_ONCE = 1000

REFUSALS = {(401, "application/problem+json"): ProblemSerializer, (403, "application/problem+json"): ProblemSerializer}
INVALID = {(400, "application/problem+json"): ProblemSerializer}
NOT_FOUND = {(404, "application/problem+json"): ProblemSerializer}
CONFLICT = {(409, "application/problem+json"): ProblemSerializer}
AWAY = {(503, "application/problem+json"): ProblemSerializer}


class QueueStats(Endpoint):
    """The queue's state at this instant."""

    permission_classes = [requires("queueops.view_console")]

    @extend_schema(operation_id="queue_stats", tags=["queue"], responses={200: SnapshotSerializer, **REFUSALS})
    def get(self, request: Request) -> Response:
        """Lanes, ledger, rates, latencies, workers. Everything is null that cannot be known while Redis is away."""
        return Response(stats.snapshot())


class WebhookQueueStats(QueueStats):
    """The same under its older address."""

    @extend_schema(operation_id="webhook_queue_stats", tags=["queue"], responses={200: SnapshotSerializer, **REFUSALS})
    def get(self, request: Request) -> Response:
        """The same as /api/queue-stats."""
        return super().get(request)


class Pages(CursorPagination):
    """Newest first; the key grows with time, so that a page stays what it was while new letters come in."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500


class DeadLetters(Endpoint):
    """Jobs that were given up."""

    permission_classes = [requires("queueops.view_deadletter")]

    @extend_schema(
        operation_id="dead_letters",
        tags=["dead letters"],
        parameters=[DeadLetterFilters, OpenApiParameter("cursor", str), OpenApiParameter("limit", int)],
        responses={200: DeadLetterPageSerializer, **INVALID, **REFUSALS, **NOT_FOUND},
    )
    def get(self, request: Request) -> Response:
        """Dead letters, newest first, in pages."""
        params = {name: request.query_params[name] for name in request.query_params}
        filters = _filters({name: text for name, text in params.items() if name not in {"cursor", "limit"}})
        letters = filters.apply(DeadLetter.objects.defer("payload", "traceback"))
        pages = Pages()
        page = pages.paginate_queryset(letters, request, view=self) or []
        results = [DeadLetterSerializer(letter).data for letter in page]
        return Response({"next": pages.get_next_link(), "results": results})


class RetryDeadLetter(Endpoint):
    """One dead letter back into its lane."""

    permission_classes = [requires("queueops.retry_deadletter")]

    @extend_schema(
        operation_id="retry_dead_letter",
        tags=["dead letters"],
        request=ReasonSerializer,
        parameters=[OpenApiParameter("id", UUID, OpenApiParameter.PATH)],
        responses={200: RetriedSerializer, **INVALID, **REFUSALS, **NOT_FOUND, **CONFLICT, **AWAY},
    )
    def post(self, request: Request, id: str) -> Response:
        """Put the job back into its lane with fresh attempts."""
        # Nothing has to come with it, and what is not JSON is nothing.
        given = ReasonSerializer(data=request.data if request.content_type == "application/json" else {})
        given.is_valid(raise_exception=True)
        letter = _letter(id)
        if letter.status != DeadLetter.Status.DEAD:
            raise Conflict(f"This dead letter is {letter.status} already.")
        return Response({"retried": operators.retry([letter], By(request.user, API, given.why))})


class RetryDeadLetters(Endpoint):
    """Many dead letters back into their lanes."""

    permission_classes = [requires("queueops.bulk_retry_deadletter")]

    @extend_schema(
        operation_id="retry_dead_letters",
        tags=["dead letters"],
        request=RetryFilters,
        responses={200: RetriedManySerializer, **INVALID, **REFUSALS, **AWAY},
    )
    def post(self, request: Request) -> Response:
        """Retry those that match, oldest first, at most 1,000 in one call. The filters come as JSON or in the query."""
        given = request.data if isinstance(request.data, dict) else {"body": request.data}
        filters = RetryFilters(data={**{name: request.query_params[name] for name in request.query_params}, **given})
        filters.is_valid(raise_exception=True)
        letters = filters.apply(DeadLetter.objects.dead())
        by = By(request.user, API, filters.why)
        retried = operators.retry(letters.order_by("id")[:RETRIED_AT_ONCE], by, filters=filters.as_given())
        return Response({"retried": retried, "remaining": letters.count()})


def _filters(given: dict[str, Any]) -> DeadLetterFilters:
    filters = DeadLetterFilters(data=given)
    filters.is_valid(raise_exception=True)
    return filters


def _letter(text: str) -> DeadLetter:
    try:
        return DeadLetter.objects.get(pk=UUID(text))
    except (ValueError, DeadLetter.DoesNotExist) as error:
        raise Http404("There is no dead letter with this id.") from error
