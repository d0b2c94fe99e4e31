"""RQ's own pages ask for nothing but a member of staff, and may delete everything: here they take a permission."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern
from django_rq.admin import QueueAdmin
from django_rq.models import Dashboard

from queueops import audit, privacy, visibility
from queueops.audit import CONSOLE, Act, By

# A job's page shows what it was given, and so what people wrote.
PERMISSIONS = ("django_rq.admin", privacy.SEE_TEXT)
READING = ("GET", "HEAD", "OPTIONS")
NO_ROWS = ("django_rq_dashboard_", "None")

admin.site.unregister(Dashboard)


@admin.register(Dashboard)
class RQPagesAdmin(QueueAdmin):  # type: ignore[misc] # its types are skipped
    """RQ's pages behind their permission; what is done there is in the audit log, with its address."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perms(PERMISSIONS) and visibility.sees_everything(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        for url in urls:
            # The admin's own for this model, which has no rows, do nothing.
            url.callback = self._guarded(url.callback, acts=not str(url.name).startswith(NO_ROWS))
        return urls

    def _guarded(self, view: Callable[..., HttpResponse], *, acts: bool) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            may = self.has_view_permission(request)
            if request.user.is_authenticated and not may:
                raise PermissionDenied
            try:
                answer = view(request, *args, **kwargs)
            except (ValueError, ImproperlyConfigured) as error:  # of a worker that it does not know, of a missing part
                raise Http404(str(error)) from None
            # Strangers are sent to the log-in page, and leave nothing in the log.
            if acts and may and request.method not in READING and answer.status_code < 400:
                by = By(request.user, CONSOLE)
                audit.record(Act(by=by, action="rq_page", kind="django_rq.dashboard", details=_asked(request)))
            return answer

        return guarded


def _asked(request: HttpRequest) -> dict[str, Any]:
    jobs = request.POST.getlist("job_ids") or request.POST.getlist("_selected_action")
    return {"path": request.path, "action": request.POST.get("action", ""), "jobs": jobs}
