"""What every endpoint of the API shares: what it takes, whom it lets in, and how it says no (RFC 9457 problem JSON)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import IO, Any

import orjson
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request, is_form_media_type
from rest_framework.response import Response
from rest_framework.settings import DEFAULTS, IMPORT_STRINGS, APISettings
from rest_framework.views import APIView, exception_handler

from queueops.embedded import EmbeddedValkeyError

CONTENT_TYPE = "application/problem+json"
# No call has more to say; a parser is not to be kept busy by somebody without credentials.
MOST_BODY_BYTES = 65_536
RETRY_AFTER_SECONDS = 5


class Unavailable(APIException):
    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_detail = "Redis cannot be reached. Try again in a moment."


class Conflict(APIException):
    status_code = HTTPStatus.CONFLICT


class Unprocessable(APIException):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY


class LengthRequired(APIException):
    status_code = HTTPStatus.LENGTH_REQUIRED
    default_detail = "Send the body with a Content-Length, not in chunks."


class TooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = f"The body may have {MOST_BODY_BYTES:,} bytes."


class ProblemSerializer(serializers.Serializer[Any]):
    type = serializers.CharField(help_text="about:blank: the status says what kind of problem it is.")
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What is wrong and what to do about it, for a person to read.")
    invalid = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="Each wrong parameter, with what is wrong about it.",
    )


MEANINGS = {
    400: ("A parameter, a header or the body is wrong; `invalid` names it.", "Some parameters are wrong."),
    401: ("No credentials, or wrong ones.", "Authentication credentials were not provided."),
    403: ("The token may only read, or the user lacks a permission.", "Your user lacks the permission queueops.…"),
    404: ("There is no such thing.", "There is no dead letter with this id."),
    406: ("`Accept` leaves out JSON.", "Could not satisfy the request Accept header."),
    409: ("It cannot be done to it now; nothing was done.", "This dead letter is retried already."),
    411: ("A body without `Content-Length`.", str(LengthRequired.default_detail)),
    413: ("The body is too large.", str(TooLarge.default_detail)),
    415: ("The body is something else than JSON.", 'Unsupported media type "text/plain" in request.'),
    422: ("This `Idempotency-Key` came with another request before.", "Another request had this Idempotency-Key."),
    429: ("Too many requests; `Retry-After` says when to come again.", "Request was throttled."),
    503: ("Redis or the database cannot be reached.", str(Unavailable.default_detail)),
}
EVERYWHERE = (401, 403, 406, 429, 503)
RETRY_AFTER = OpenApiParameter(
    "Retry-After", int, OpenApiParameter.HEADER, response=[429, 503], description="Seconds to wait before the next try."
)


def refusals(*codes: int) -> dict[tuple[int, str], OpenApiResponse]:
    """The schema's answers for these statuses, and for those that every operation has."""
    return {(code, CONTENT_TYPE): _refusal(code) for code in sorted({*EVERYWHERE, *codes})}


def _refusal(code: int) -> OpenApiResponse:
    description, detail = MEANINGS[code]
    value = _body(HTTPStatus(code), detail)
    if code == HTTPStatus.BAD_REQUEST:
        value["invalid"] = {"lane": ["It must be one of high, default, low."]}
    example = OpenApiExample(HTTPStatus(code).phrase, value=value, media_type=CONTENT_TYPE, response_only=True)
    return OpenApiResponse(ProblemSerializer, description=description, examples=[example])


class Json(BaseParser):
    """UTF-8, whatever `charset` says; neither NaN nor lone surrogates, nor more levels than the stack bears."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return orjson.loads(stream.read())
        except orjson.JSONDecodeError as error:
            raise ParseError(f"The body is no JSON: {error}") from error


class EmptyForm(BaseParser):
    """An empty form, which many clients send when they have nothing to say; a full one is not passed over."""

    media_type = "*/*"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        # Every field of a form has one, `name=value` or `name="…"`.
        if is_form_media_type(media_type or "") and b"=" not in stream.read():
            return {}
        raise UnsupportedMediaType(media_type or "")


class ByAccept(DefaultContentNegotiation):
    """By `Accept` alone: `format` in the query is an unknown filter like any other."""

    settings: Any = APISettings({"URL_FORMAT_OVERRIDE": None}, DEFAULTS, IMPORT_STRINGS)  # type: ignore[arg-type]


class Endpoint(APIView):
    """Base of the API's views."""

    parser_classes = [Json, EmptyForm]
    content_negotiation_class = ByAccept
    metadata_class = None

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        request.encoding = "utf-8"  # a charset such as `hex` would be an error where the query is read
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        self._read_body(request)
        super().initial(request, *args, **kwargs)

    def _read_body(self, request: Request) -> None:
        """Before authentication: the check of a session's CSRF token would take a form's fields away unseen."""
        length = request.META.get("CONTENT_LENGTH") or ""
        if not length and "Transfer-Encoding" in request.headers:
            # Django takes it for empty, and an empty filter means "all".
            raise LengthRequired
        if length.isdecimal() and int(length) > MOST_BODY_BYTES:
            raise TooLarge
        _ = request._request.body

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        return problem


def requires(permission: str) -> type[BasePermission]:
    """A permission class for Django's permission of that name. Without credentials the answer is 401, else 403."""

    class HasPermission(BasePermission):
        message = f"Your user lacks the permission {permission}."

        def has_permission(self, request: Request, view: APIView) -> bool:
            return request.user.has_perm(permission)

    return HasPermission


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. `invalid` names the wrong parameters and what is wrong with each."""
    error = _as_api_exception(error)
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, ValidationError) and isinstance(response.data, dict):
        detail, more = "Some parameters are wrong.", {"invalid": response.data}
    else:
        detail, more = str(getattr(error, "detail", error)), {}
    response.data = {**_body(HTTPStatus(response.status_code), detail), **more}
    response.content_type = CONTENT_TYPE
    if isinstance(error, Unavailable):
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _as_api_exception(error: Exception) -> Exception:
    if isinstance(error, RedisError | EmbeddedValkeyError):
        return Unavailable()
    if isinstance(error, OperationalError | InterfaceError):
        return Unavailable("The database cannot be reached. Try again in a moment.")
    if isinstance(error, SuspiciousOperation):
        return ParseError("The request cannot be read.")
    return error


def refuse(status: HTTPStatus, detail: str) -> HttpResponse:
    """A problem, from outside DRF."""
    return HttpResponse(orjson.dumps(_body(status, detail)), status=status, content_type=CONTENT_TYPE)


def _body(status: HTTPStatus, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
