"""Dead letters by cause in the console: what they have in common, how it develops, and what may be done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from queueops import audit, cause_counts, causes, visibility
from queueops.audit import CONSOLE, By
from queueops.audited import VIEW_LOG, AuditedAdmin
from queueops.models import Cause, DeadLetterQuerySet
from queueops.operations import DISCARD, PERMISSIONS, RETRY
from queueops.readonly import ReadOnlyAdmin

MOST_SHOWN = 200
LETTERS_SHOWN = 5


@admin.register(Cause)
class CauseAdmin(AuditedAdmin, ReadOnlyAdmin):
    """Two pages of our own: all causes, and one. Resolve and reopen are the only changes."""

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site
        own = [
            path("<str:pk>/resolve/", site.admin_view(self.resolve), name="queueops_cause_resolve"),
            path("<str:pk>/reopen/", site.admin_view(self.reopen), name="queueops_cause_reopen"),
        ]
        return own + list(super().get_urls())

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perms(["queueops.view_cause", "queueops.view_deadletter"])

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("queueops.resolve_cause")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self._require_view(request)
        state = Cause.State.RESOLVED if request.GET.get("state") == Cause.State.RESOLVED else Cause.State.OPEN
        # Whoever sees some accounts only is not told of causes that none of those has.
        sees_all = visibility.sees_everything(request.user)
        counted = cause_counts.look(_letters(request), are_all=sees_all)
        seen = causes.seen(counted, Cause.objects.filter(state=state))
        shown = [one for one in seen if one.n or sees_all]
        causes.look_at_waits(shown[:MOST_SHOWN], _letters(request))
        context = {
            "title": "Causes",
            "seen": shown[:MOST_SHOWN],
            "more": max(len(shown) - MOST_SHOWN, 0),
            "state": state,
            "counted": counted,
        }
        return self._page(request, "queueops/causes.html", context)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        self._require_view(request)
        cause = get_object_or_404(Cause, pk=object_id)
        letters = _letters(request).filter(fingerprint=cause.pk)
        counted = cause_counts.look(letters, are_all=visibility.sees_everything(request.user))
        [seen] = causes.seen(counted, [cause])
        causes.look_at_waits([seen], letters)
        may_log = request.user.has_perm(VIEW_LOG)
        context = {
            "title": cause.title,
            "cause": cause,
            "seen": seen,
            "counted": counted,
            "letters": letters.defer("payload", "traceback", "edits")[:LETTERS_SHOWN],
            "may_retry": request.user.has_perm(PERMISSIONS[RETRY]),
            "may_discard": request.user.has_perm(PERMISSIONS[DISCARD]),
            "may_resolve": self.has_resolve_permission(request),
            "audit_trail": audit.trail(audit.kind_of(Cause), [cause.pk]) if may_log else [],
        }
        return self._page(request, "queueops/cause.html", context)

    def resolve(self, request: HttpRequest, pk: str) -> HttpResponse:
        return self._change(request, pk, causes.resolve, "Resolved. It reopens by itself when it is seen again.")

    def reopen(self, request: HttpRequest, pk: str) -> HttpResponse:
        return self._change(request, pk, causes.reopen, "Open again.")

    def _change(self, request: HttpRequest, pk: str, change: Callable[[Cause, By], bool], done: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_resolve_permission(request):
            raise PermissionDenied
        cause = get_object_or_404(Cause, pk=pk)
        reason = audit.clean(request.POST.get("reason", "")).strip()
        if not reason:
            messages.error(request, "Say why: what was the cause, and what was done about it?")
        elif change(cause, By(request.user, CONSOLE, reason)):
            messages.success(request, done)
        else:
            messages.warning(request, "Nothing to do: somebody was quicker.")
        return HttpResponseRedirect(reverse("admin:queueops_cause_change", args=[pk]))

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **context})


def _letters(request: HttpRequest) -> DeadLetterQuerySet:
    return visibility.letters(request.user).dead()
