"""Is this process alive, and can it take webhooks? For load balancers and orchestrators; no credentials, no details.

A middleware, the first: probes come by address, with a `Host` that ALLOWED_HOSTS does not know.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from redis.exceptions import RedisError

from queueops import connections
from queueops.embedded import EmbeddedValkeyError

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0


def probes(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Answer `/healthz` and `/readyz`, with and without a trailing slash, before anything else looks at the request."""
    views = {"/healthz": healthz, "/readyz": readyz}

    def answer(request: HttpRequest) -> HttpResponseBase:
        view = views.get(request.path_info.removesuffix("/"))
        return view(request) if view else get_response(request)

    return answer


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all."""
    return HttpResponse("ok", content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"})


def readyz(request: HttpRequest) -> HttpResponse:
    """200 while webhooks can be taken, otherwise 503; the parts that fail by name. Answers within some ANSWER_SECONDS.

    Without the database webhooks are still kept: it is named, but a load balancer must not take the server out.
    """
    checks = {"redis": _threads().submit(_redis_answers), "database": _threads().submit(_database_answers)}
    failing = {}
    for part, check in checks.items():
        try:
            check.result(timeout=ANSWER_SECONDS)
        except (RedisError, EmbeddedValkeyError, DatabaseError, InterfaceError, OSError) as error:
            # The reason may hold addresses and names: it goes to the log, the caller gets the part.
            logger.warning("action=not_ready part=%s error=%s", part, error)
            check.cancel()
            failing[part] = "unreachable"
    return JsonResponse(
        {"ready": "redis" not in failing, "failing": failing},
        status=503 if "redis" in failing else 200,
        headers={"Cache-Control": "no-store"},
    )


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """Few: checks that hang must not pile up, and while they do the part counts as failing."""
    return ThreadPoolExecutor(4, thread_name_prefix="readyz")


def _redis_answers() -> None:
    connections.ensure_server()
    with connections.new_client(ANSWER_SECONDS / 2, ANSWER_SECONDS / 2) as redis:
        redis.ping()


def _database_answers() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()
