"""Every address. Those that machines call match with and without a trailing slash, never by a redirect."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView
from rest_framework.views import APIView

from automations import measured
from automations.api import EventTrace
from chatautodm import refusals
from chatautodm.docs import docs
from queueops.api import DeadLetters, QueueStats, RetryDeadLetter, RetryDeadLetters, WebhookQueueStats
from queueops.scrapes import Metrics


def endpoint(route: str, view: type[APIView], name: str) -> list[URLPattern]:
    """Both forms of an API address; the schema lists one."""
    return [path(route, view.as_view(), name=name), path(f"{route}/", view.as_view(schema=None))]


urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("webhooks.urls")),
    *endpoint("api/queue-stats", QueueStats, "queue-stats"),
    *endpoint("api/webhooks/queue-stats", WebhookQueueStats, "webhook-queue-stats"),
    *endpoint("api/dead-letters", DeadLetters, "dead-letters"),
    *endpoint("api/dead-letters/retry", RetryDeadLetters, "dead-letters-retry"),
    *endpoint("api/dead-letters/<str:id>/retry", RetryDeadLetter, "dead-letter-retry"),
    # Meta's ids are no words of ours: whatever a URL can hold. The view takes off a trailing slash itself.
    path("api/events/<path:key>", EventTrace.as_view(), name="event-trace"),
    *endpoint("api/schema", SpectacularAPIView, "schema"),
    path("api/docs", docs, name="docs"),
    path("api/docs/", docs),
    re_path(r"^api(?:/|$)", refusals.unknown_address),
    path("metrics", Metrics.as_view(counts=measured.COUNTS), name="metrics"),
    path("metrics/", Metrics.as_view(counts=measured.COUNTS)),
    # What queueops links to when it shows a job: here is decided which page that is.
    path("trace/<path:key>", RedirectView.as_view(pattern_name="admin:automations_event_trace"), name="trace"),
    path("admin/r/<path:content_type_id>/<path:object_id>/", admin.site.admin_view(refusals.no_page)),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]

# Django takes these from here by name.
handler400 = refusals.bad_request
handler500 = refusals.server_error
