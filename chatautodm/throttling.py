"""How often one credential may call the API."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class PerCredential(SimpleRateThrottle):
    """API_REQUESTS_PER_MINUTE for each token, or console session's user. Above it: 429 with `Retry-After`.

    Counted in the process's own memory: a limit that depended on Redis would take the API away with it.
    """

    scope = "credential"

    def get_rate(self) -> str | None:
        limit = settings.API_REQUESTS_PER_MINUTE
        return f"{limit}/min" if limit else None

    def get_cache_key(self, request: Request, view: Any) -> str | None:
        if not request.user.is_authenticated:
            return None  # it was refused before anything was done for it
        return f"api-{request.auth.pk}" if request.auth else f"session-{request.user.pk}"
