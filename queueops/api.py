"""The operators' and monitors' API: the snapshot, and dead letters to browse and to retry."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import orjson
from django.http import Http404
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from queueops import api_examples as examples
from queueops import idempotency, operators, privacy, stats, visibility
from queueops.audit import API, By
from queueops.models import DeadLetter
from queueops.problems import RETRY_AFTER, Conflict, Endpoint, refusals, requires
from queueops.serializers import (
    MOST_ON_A_PAGE,
    ON_A_PAGE,
    DeadLetterFilters,
    DeadLetterPageSerializer,
    DeadLetterQuery,
    DeadLetterSerializer,
    ReasonSerializer,
    RetriedManySerializer,
    RetriedSerializer,
    RetryFilters,
    SnapshotSerializer,
)

# Keeps one call to some seconds; the answer says how many remain.
RETRIED_AT_ONCE = 1000
MEGABYTE = 1_048_576

STATS_ANSWERS: dict[Any, Any] = {
    200: OpenApiResponse(
        SnapshotSerializer, description="The state now.", examples=[OpenApiExample("Idle", value=examples.SNAPSHOT)]
    ),
    304: OpenApiResponse(description="Nothing has changed since the answer with that `ETag`, but heartbeats' ages."),
    **refusals(),
}
STATS_PARAMETERS = [
    OpenApiParameter(
        "If-None-Match", str, OpenApiParameter.HEADER, description="The `ETag` of an earlier answer, or several."
    ),
    OpenApiParameter("ETag", str, OpenApiParameter.HEADER, response=[200], description="Weak: of what the state says."),
    RETRY_AFTER,
]
RETRY_PARAMETERS = [*idempotency.PARAMETERS, RETRY_AFTER]


class QueueStats(Endpoint):
    """The queue's state at this instant."""

    permission_classes = [requires("queueops.view_console")]

    @extend_schema(
        operation_id="queue_stats",
        summary="The queue's state",
        tags=["queue"],
        parameters=STATS_PARAMETERS,
        responses=STATS_ANSWERS,
    )
    def get(self, request: Request) -> Response:
        """Lanes, ledger, rates, latencies, workers. Everything is null that cannot be known while Redis is away.

        `unexplained` is to be 0 when nothing is in motion. Asked with the `ETag` of the last answer under
        `If-None-Match`, it is 304 while nothing has changed.
        """
        snapshot = stats.snapshot()
        headers = {"ETag": _validator(snapshot), "Cache-Control": "private, no-cache"}
        if headers["ETag"] in _already_there(request):
            return Response(status=304, headers=headers)
        return Response(snapshot, headers=headers)


class WebhookQueueStats(QueueStats):
    """The same under its older address."""

    @extend_schema(
        operation_id="webhook_queue_stats",
        summary="The queue's state, under its older address",
        tags=["queue"],
        parameters=STATS_PARAMETERS,
        responses=STATS_ANSWERS,
    )
    def get(self, request: Request) -> Response:
        """The same as /api/queue-stats."""
        return super().get(request)


class Pages(CursorPagination):
    """Newest first; the key grows with time, so that a page stays what it was while new letters come in."""

    ordering = "-id"
    page_size = ON_A_PAGE
    page_size_query_param = "limit"
    max_page_size = MOST_ON_A_PAGE

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Raises NotFound when it is none of ours."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                UUID(str(cursor.position))
        except (NotFound, ValueError) as error:
            raise NotFound("There is no page with this cursor. Follow the address under `next` as it is.") from error
        return cursor


class DeadLetters(Endpoint):
    """Jobs that were given up."""

    permission_classes = [requires("queueops.view_deadletter")]

    @extend_schema(
        operation_id="dead_letters",
        summary="Dead letters, in pages",
        tags=["dead letters"],
        parameters=[DeadLetterQuery, RETRY_AFTER],
        responses={
            200: OpenApiResponse(
                DeadLetterPageSerializer,
                description="One page.",
                examples=[OpenApiExample("An expired access token", value=examples.PAGE)],
            ),
            **refusals(400, 404),
        },
    )
    def get(self, request: Request) -> Response:
        """Jobs that were given up, newest first: those that match every filter. `next` is the address of the next page,
        null on the last one; letters that come in meanwhile do not move the pages."""
        query = DeadLetterQuery(data=_in_query(request))
        query.is_valid(raise_exception=True)
        letters = query.apply(visibility.letters(request.user).defer("payload", "traceback"), request.user)
        pages = Pages()
        page = pages.paginate_queryset(letters, request, view=self) or []
        results = [DeadLetterSerializer(letter).data for letter in privacy.errors_shown(request.user, page)]
        return Response({"next": pages.get_next_link(), "results": results})


class RetryDeadLetter(Endpoint):
    """One dead letter back into its lane."""

    permission_classes = [requires("queueops.retry_deadletter")]

    @extend_schema(
        operation_id="retry_dead_letter",
        summary="Retry one dead letter",
        tags=["dead letters"],
        request={"application/json": ReasonSerializer},
        parameters=[
            OpenApiParameter("id", UUID, OpenApiParameter.PATH, description="The letter's id."),
            *RETRY_PARAMETERS,
        ],
        examples=[OpenApiExample("With a reason", value={"reason": "the account was reconnected"}, request_only=True)],
        responses={
            200: OpenApiResponse(
                RetriedSerializer,
                description="The job is back in its lane.",
                examples=[OpenApiExample("Retried", value={"retried": 1})],
            ),
            **refusals(400, 404, 409, 411, 413, 415, 422),
        },
    )
    def post(self, request: Request, id: str) -> Response:
        """Put the job back into its lane with fresh attempts. A letter that is not dead any more is 409."""
        given = ReasonSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        return idempotency.once(request, lambda: self._retry(id, By(request.user, API, given.why)))

    def _retry(self, id: str, by: By) -> dict[str, int]:
        letter = _letter(id, by.user)
        if letter.status != DeadLetter.Status.DEAD:
            raise Conflict(f"This dead letter is {letter.status} already.")
        retried = operators.retry([letter], by)
        if not retried:
            raise Conflict("Somebody was quicker: its job is not among the dead any more.")
        return {"retried": retried}


class RetryDeadLetters(Endpoint):
    """Many dead letters back into their lanes."""

    permission_classes = [requires("queueops.bulk_retry_deadletter")]

    @extend_schema(
        operation_id="retry_dead_letters",
        summary="Retry many dead letters",
        tags=["dead letters"],
        request={"application/json": RetryFilters},
        parameters=[DeadLetterFilters, *RETRY_PARAMETERS],
        examples=[OpenApiExample("One cause of one account", value=examples.RETRY_MANY, request_only=True)],
        responses={
            200: OpenApiResponse(
                RetriedManySerializer,
                description="So many are back in their lanes.",
                examples=[OpenApiExample("All of them", value={"retried": 312, "remaining": 0})],
            ),
            **refusals(400, 409, 411, 413, 415, 422),
        },
    )
    def post(self, request: Request) -> Response:
        """Retry those that match every filter, oldest first, at most 1,000 in one call; without a filter all of them.
        The filters come as JSON or in the query; where both name one, the JSON holds."""
        given = request.data if isinstance(request.data, dict) else {"body": request.data}
        filters = RetryFilters(data={**_in_query(request), **given})
        filters.is_valid(raise_exception=True)
        return idempotency.once(request, lambda: self._retry(filters, By(request.user, API, filters.why)))

    def _retry(self, filters: RetryFilters, by: By) -> dict[str, int]:
        letters = filters.apply(visibility.letters(by.user).dead(), by.user)
        retried = operators.retry(letters.order_by("id")[:RETRIED_AT_ONCE], by, filters=filters.as_given())
        return {"retried": retried, "remaining": letters.count()}


def _in_query(request: Request) -> dict[str, Any]:
    return {name: request.query_params[name] for name in request.query_params}


def _letter(text: str, user: Any) -> DeadLetter:
    try:
        return visibility.letters(user).get(pk=UUID(text))
    except (ValueError, DeadLetter.DoesNotExist) as error:
        raise Http404("There is no dead letter with this id.") from error


def _validator(snapshot: dict[str, Any]) -> str:
    """A weak ETag: of everything but what moves in a system at rest.

    That is how long ago each worker's heart beat (one that does not any more is `silent`), and Redis' memory within a
    megabyte. The age of the oldest that waits is in it: a monitor must hear of it while nothing else moves.
    """
    workers = [{**worker, "heartbeat_age_seconds": None} for worker in snapshot["workers"]]
    used = snapshot["redis"]["used_memory_bytes"]
    redis = {**snapshot["redis"], "used_memory_bytes": used and used // MEGABYTE}
    what = orjson.dumps({**snapshot, "workers": workers, "redis": redis}, option=orjson.OPT_SORT_KEYS)
    return f'W/"{hashlib.sha256(what).hexdigest()[:32]}"'


def _already_there(request: Request) -> list[str]:
    """The ETags that the caller has, as weak ones: that is how they are to be compared here (RFC 9110, 13.1.2)."""
    etags = parse_etags(request.headers.get("If-None-Match", ""))
    return [etag if etag.startswith("W/") else f"W/{etag}" for etag in etags]
