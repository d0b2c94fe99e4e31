"""The audit log in the console: to read, to search, to check and to take away; nothing to change."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join

from queueops import audit, visibility
from queueops.audit_export import FORMATS
from queueops.csv_export import streamed, taken_away
from queueops.models import AuditEntry
from queueops.readonly import PeriodFilter, ReadOnlyAdmin, RecentValuesFilter, json_block, one_line, two_lines
from queueops.templatetags.queue_console import words

TARGETS_SHOWN = 200


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("number", "at", "who_and_through", "what", "count", "why")
    list_filter = (
        ("action", RecentValuesFilter),
        ("kind", RecentValuesFilter),
        ("who", RecentValuesFilter),
        ("at", PeriodFilter),
    )
    indexed = (frozenset({"who"}),)
    sortable_by = ("number",)
    search_fields = ("who__exact", "targets__key__exact", "targets__name__exact", "reason__icontains")
    search_help_text = "Who, the key or name of what was touched, why"
    list_before_template = "queueops/audit_list.html"
    fieldsets = (
        ("What was done", {"fields": ("at", "who_and_through", "what", "count", "why")}),
        ("To what", {"fields": ("things", "pretty_details")}),
        ("Seal", {"fields": ("number", "previous", "seal")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return visibility.audit_entries(super().get_queryset(request), request.user)

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site
        own = [
            path("verify/", site.admin_view(self.verify), name="queueops_auditentry_verify"),
            path("export/<str:format>/", site.admin_view(self.export), name="queueops_auditentry_export"),
        ]
        return own + list(super().get_urls())

    def verify(self, request: HttpRequest) -> HttpResponse:
        """Say whether the chain holds, on the list."""
        self._require_permission(request)
        checked = audit.verify()
        if checked.broken_at is None:
            messages.success(request, f"All {checked.entries} seals hold. The last one is {checked.last_seal}.")
        else:
            messages.error(request, f"The chain breaks at entry {checked.broken_at}: {checked.problem}.")
        return HttpResponseRedirect(reverse("admin:queueops_auditentry_changelist"))

    def export(self, request: HttpRequest, format: str) -> HttpResponseBase:
        self._require_permission(request)
        if format not in FORMATS:
            raise Http404("There is csv and jsonl.")
        content_type, lines = FORMATS[format]
        entries = taken_away(self, request, format)
        return streamed(request, lines(entries), f"audit.{format}", content_type)

    def _require_permission(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    @admin.display(description="who", ordering="who")
    def who_and_through(self, entry: AuditEntry) -> str:
        return two_lines(entry.who, f"by {entry.through}")

    @admin.display(description="what", ordering="action")
    def what(self, entry: AuditEntry) -> str:
        return two_lines(words(entry.action), entry.kind)

    @admin.display(description="why")
    def why(self, entry: AuditEntry) -> str:
        return one_line(entry.reason)

    @admin.display(description="things")
    def things(self, entry: AuditEntry) -> str:
        rows = entry.targets.order_by("id")[: TARGETS_SHOWN + 1]
        shown = [(target.name or target.key, target.key) for target in rows[:TARGETS_SHOWN]]
        more = [("and more", "export them")] if len(rows) > TARGETS_SHOWN else []
        return format_html_join("", '<div>{} <span class="cad-note">{}</span></div>', shown + more) or "-"

    @admin.display(description="details")
    def pretty_details(self, entry: AuditEntry) -> str:
        return json_block(entry.details or None)
