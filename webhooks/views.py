"""The webhook behind Django's URLs, for `runserver` and WSGI servers; `webhooks.asgi` is the fast door."""

from __future__ import annotations

import time

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt

from queueops import metrics
from queueops.dispatch import Unavailable
from queueops.tiers import dispatch_sync
from webhooks import answers, intake
from webhooks.answers import Answer


@csrf_exempt
def instagram(request: HttpRequest) -> HttpResponse:
    """GET: the handshake. POST: verify, parse, hand on, answer."""
    if request.method == "POST":
        answer = _post(request)
    elif request.method == "GET":
        answer = answers.handshake(request.META.get("QUERY_STRING", ""))
    else:
        answer = answers.NOT_ALLOWED
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def _post(request: HttpRequest) -> Answer:
    try:
        body = _body(request)
        read_at = time.perf_counter()
        batch = intake.admit(body, _header(request, "HTTP_X_HUB_SIGNATURE_256"))
        receipt = dispatch_sync(batch)
    except UnreadablePostError:
        return answers.CUT_SHORT
    except (intake.Unsigned, intake.TooLarge, Unavailable) as error:
        return answers.refused(error)
    metrics.observe("ack", (time.perf_counter() - read_at) * 1000)
    return answers.kept(receipt)


def _body(request: HttpRequest) -> bytes:
    intake.check_size(_header(request, "CONTENT_LENGTH"))
    try:
        body = request.body
    except RequestDataTooBig as error:
        raise intake.TooLarge from error
    intake.check_size(None, len(body))
    return body


def _header(request: HttpRequest, name: str) -> bytes | None:
    value = request.META.get(name)
    # Latin-1 is WSGI's way to hand on bytes; anything beyond it can be no header's, and matches nothing as "?".
    return None if value is None else str(value).encode("latin-1", "replace")
