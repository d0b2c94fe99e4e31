"""RQ's own pages ask for nothing but a member of staff, and may delete everything: here they take a permission."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django_rq.admin import QueueAdmin
from django_rq.models import Dashboard
from django_rq.queues import get_queue_by_index
from rq.exceptions import NoSuchJobError
from rq.worker import Worker

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

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """The pages are of queues: the model itself has neither rows nor a table."""

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        for url in urls:
            if url.name == "django_rq_worker_details":
                url.callback = self.admin_site.admin_view(worker_details, cacheable=False)
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
            except (ValueError, IndexError, ImproperlyConfigured) as error:  # what it does not know, a missing part
                raise Http404(str(error)) from None
            # Strangers are sent to the log-in page, and leave nothing in the log.
            if acts and may and request.method not in READING and answer.status_code < 400:
                by = By(request.user, CONSOLE)
                audit.record(Act(by=by, action="rq_page", kind="django_rq.dashboard", details=_asked(request)))
            return answer

        return guarded


def worker_details(request: HttpRequest, queue_index: int, key: str) -> HttpResponse:
    """One worker and a job of its own. django-rq's view would unpickle the job, which is JSON. Raises ValueError."""
    queue = get_queue_by_index(queue_index)
    worker = Worker.find_by_key(key, connection=queue.connection, serializer=queue.serializer)
    if worker is None:
        raise Http404("There is no such worker any more.")
    try:
        job = worker.get_current_job()
    except NoSuchJobError:  # it ended while we looked
        job = None
    context = {
        **admin.site.each_context(request),
        "queue": queue,
        "queue_index": queue_index,
        "worker": worker,
        "queue_names": ", ".join(worker.queue_names()),
        "job": job,
        "total_working_time": worker.total_working_time,
    }
    request.current_app = admin.site.name  # by it django-rq's links find their addresses
    return TemplateResponse(request, "django_rq/worker_details.html", context)


def _asked(request: HttpRequest) -> dict[str, Any]:
    jobs = request.POST.getlist("job_ids") or request.POST.getlist("_selected_action")
    return {"path": request.path, "action": request.POST.get("action", ""), "jobs": jobs}
