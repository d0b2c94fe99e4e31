"""`GET /metrics`: the state for Prometheus, and who may ask."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import orjson
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from queueops import exposition
from queueops.counted import Counts
from queueops.problems import Endpoint

PERMISSION = "queueops.view_console"
# Any proxy that the console works behind sets one of these (X-Forwarded-Proto, see docs/deployment.md).
FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


class FromThisMachineOrPermitted(BasePermission):
    """The API's credentials; or none, for who asks directly from this machine and through no proxy."""

    message = f"Your user lacks the permission {PERMISSION}."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.has_perm(PERMISSION) or is_from_this_machine(request)


def is_from_this_machine(request: Request) -> bool:
    """Whether the request came over loopback, and nothing says that somebody forwarded it."""
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


class Plain(BaseRenderer):
    """Prometheus asks for its own types and takes text; a refusal is problem JSON as everywhere."""

    media_type = "text/plain"
    format = "prometheus"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        return orjson.dumps(data)


class Metrics(Endpoint):
    """The state in Prometheus' text format, version 0.0.4."""

    permission_classes = [FromThisMachineOrPermitted]
    renderer_classes = [Plain]
    counts: Sequence[Counts] = ()  # of the layers above, given where the address is

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """Every family, also those without a sample just now."""
        return HttpResponse(exposition.page(self.counts), content_type=CONTENT_TYPE_PLAIN_0_0_4)
