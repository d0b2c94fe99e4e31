"""A charset that no text can be in is the sender's mistake, and no error of ours.

Django takes every codec that Python knows for one, `hex` and `zlib` too, and fails where it reads the query, as it
makes the request, or a form: before and beside all middleware.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpResponse
from django.http.response import HttpResponseBase

TEXT = b"name=%C3%BC"
WORDS = "The charset of Content-Type is none that text can be in. Leave it out, or say utf-8.\n"


class Handler(ASGIHandler):
    """Django's, which answers 400 to such a request. The API reads UTF-8 whatever is said."""

    def create_request(
        self, scope: Mapping[str, Any], body_file: IO[bytes]
    ) -> tuple[ASGIRequest, None] | tuple[None, HttpResponseBase]:
        try:
            request, refusal = super().create_request(scope, body_file)
        except (LookupError, UnicodeError):
            return None, _refusal()
        if request is None:
            return None, refusal or _refusal()
        charset = request.encoding
        if charset is None or request.path_info.startswith("/api/") or _reads_text(charset):
            return request, None
        return None, _refusal()


def _refusal() -> HttpResponse:
    return HttpResponse(WORDS, status=HTTPStatus.BAD_REQUEST, content_type="text/plain; charset=utf-8")


def _reads_text(charset: str) -> bool:
    try:
        TEXT.decode(charset, "replace")
    except (LookupError, UnicodeError):
        return False
    return True
