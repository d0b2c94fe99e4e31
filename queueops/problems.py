"""What every endpoint of the API shares: whom it lets in, and how it says no (RFC 9457 problem JSON)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, exception_handler

from queueops.embedded import EmbeddedValkeyError

CONTENT_TYPE = "application/problem+json"


class Unavailable(APIException):
    status_code = HTTPStatus.SERVICE_UNAVAILABLE
    default_detail = "Redis cannot be reached. Try again in a moment."


class Conflict(APIException):
    status_code = HTTPStatus.CONFLICT


class ProblemSerializer(serializers.Serializer[Any]):
    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    invalid = serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False)


class Endpoint(APIView):
    """Base of the API's views."""

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
    if isinstance(error, RedisError | EmbeddedValkeyError):
        error = Unavailable()
    response = exception_handler(error, context)
    if response is None:
        return None
    status = HTTPStatus(response.status_code)
    body: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value}
    if isinstance(error, ValidationError) and isinstance(response.data, dict):
        body |= {"detail": "Some parameters are wrong.", "invalid": response.data}
    else:
        body["detail"] = str(getattr(error, "detail", error))
    response.data = body
    response.content_type = CONTENT_TYPE
    if isinstance(error, Unavailable):
        response["Retry-After"] = "5"
    return response
