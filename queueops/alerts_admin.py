"""Alerts in the console: what is wrong now and what was, and the word that somebody looks after it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, ChoicesCheckboxFilter, RadioFilter

from queueops import alerting, alerts, audit, destinations
from queueops.alert_messages import lasted
from queueops.audit import CONSOLE, Act, By
from queueops.audited import AuditedAdmin
from queueops.forms import ReasonForm
from queueops.models import Alert
from queueops.readonly import PeriodFilter, ReadOnlyAdmin, two_lines
from queueops.templatetags.queue_console import duration

ACKNOWLEDGE = "queueops.acknowledge_alert"
BADGE_COUNTS_TO = 99


class StandingFilter(RadioFilter):  # type: ignore[misc] # Unfold ships no types
    title = "state"
    parameter_name = "state"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "open"), ("resolved", "resolved")]

    def queryset(self, request: Any, queryset: QuerySet[Alert]) -> QuerySet[Alert]:
        return queryset.filter(closed_at__isnull=self.value() == "open") if self.value() else queryset


@admin.register(Alert)
class AlertAdmin(AuditedAdmin, ReadOnlyAdmin):
    """Open ones first. To acknowledge is the only change, by POST, with a reason and a permission of its own."""

    list_display = ("state", "what_and_advice", "act", "first_seen_at", "took", "looked_after")
    list_display_links = ("what_and_advice",)
    list_filter = (
        StandingFilter,
        ("severity", ChoicesCheckboxFilter),
        ("name", AllValuesCheckboxFilter),
        ("first_seen_at", PeriodFilter),
    )
    search_fields = ("subject__exact", "words__icontains", "name__exact")
    search_help_text = "Lane or account, or what is wrong"
    ordering = (F("closed_at").desc(nulls_first=True), "severity", "-id")
    list_prefetch_related = ("acknowledged_by",)
    list_before_template = "queueops/alert_list.html"
    change_form_outer_before_template = "queueops/alert_actions.html"
    fieldsets = (
        ("What is wrong", {"fields": ("words", "state", "act", "what_to_do", "subject")}),
        ("When", {"fields": ("first_seen_at", "opened_at", "last_seen_at", "closed_at")}),
        ("Who knows", {"fields": ("looked_after", "who_was_told")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        found: QuerySet[Alert] = super().get_queryset(request)
        return alerts.visible(found.filter(opened_at__isnull=False), request.user)  # type: ignore[arg-type]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.acknowledge)
        return [path("<uuid:pk>/acknowledge/", view, name="queueops_alert_acknowledge"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        about = {"last_round": alerting.last_round(), "destinations": list(destinations.configured())}
        return super().changelist_view(request, {**about, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        alert: Alert = context["original"]
        is_free = alert.closed_at is None and alert.acknowledged_at is None
        more = {"may_acknowledge": is_free and request.user.has_perm(ACKNOWLEDGE)}
        return super().render_change_form(request, {**context, **more}, *args, **kwargs)

    def acknowledge(self, request: HttpRequest, pk: Any) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (request.user.has_perm(ACKNOWLEDGE) and self.has_view_permission(request)):
            raise PermissionDenied
        alert = get_object_or_404(self.get_queryset(request), pk=pk)
        form = ReasonForm(request.POST)
        if not form.is_valid():
            messages.error(request, "Say why: who takes it on, or what is being done. Nothing was acknowledged.")
        elif self._acknowledge(request, alert, form.cleaned_data["reason"].strip()):
            messages.success(request, "Acknowledged: nobody is reminded of it any more; its end is still told.")
        else:
            messages.warning(request, "Nothing to do: it is over, or somebody was quicker.")
        return HttpResponseRedirect(reverse("admin:queueops_alert_change", args=[alert.pk]))

    def _acknowledge(self, request: HttpRequest, alert: Alert, reason: str) -> bool:
        with transaction.atomic():
            if not alerts.acknowledge(alert, request.user, timezone.now()):
                return False
            audit.record(
                Act(
                    by=By(request.user, CONSOLE, reason),
                    action="acknowledge_alert",
                    kind=audit.kind_of(Alert),
                    targets=[(str(alert.pk), alert.words)],
                    details={"alert": alert.name, "subject": alert.subject},
                )
            )
        return True

    # --- What is shown -----------------------------------------------------------------------------------------------

    @admin.display(description="state", ordering="closed_at")
    def state(self, alert: Alert) -> str:
        look, word = ("cad-good", "resolved") if alert.closed_at else ("cad-bad", "open")
        if word == "open" and alert.acknowledged_at:
            look, word = "cad-warn", "acknowledged"
        return format_html('<span class="cad-label {}">{}</span>', look, word)

    @admin.display(description="what is wrong", ordering="name")
    def what_and_advice(self, alert: Alert) -> str:
        return two_lines(alert.words, _advice(alert) if alert.closed_at is None else _title(alert))

    @admin.display(description="what to do")
    def what_to_do(self, alert: Alert) -> str:
        condition = alerts.registered().get(alert.name)
        return f"{condition.advice} See {condition.page}." if condition else "-"

    @admin.display(description="act", ordering="severity")
    def act(self, alert: Alert) -> str:
        return alert.get_severity_display()

    @admin.display(description="for")
    def took(self, alert: Alert) -> str:
        return duration(lasted(alert))

    @admin.display(description="acknowledged")
    def looked_after(self, alert: Alert) -> str:
        if alert.acknowledged_at is None:
            return "-"
        who = alert.acknowledged_by or "somebody who is gone"
        return two_lines(str(who), f"{alert.acknowledged_at:%Y-%m-%d %H:%M} UTC")

    @admin.display(description="told")
    def who_was_told(self, alert: Alert) -> str:
        said = [f"{name}: {what}, {at[:16].replace('T', ' ')} UTC" for name, (what, at) in sorted(alert.told.items())]
        return "; ".join(said) or "nobody yet"


def _advice(alert: Alert) -> str:
    condition = alerts.registered().get(alert.name)
    return condition.advice if condition else ""


def _title(alert: Alert) -> str:
    condition = alerts.registered().get(alert.name)
    return condition.title if condition else alert.name


def open_badge(request: HttpRequest) -> str | None:
    """How many are open, for the navigation."""
    if not request.user.has_perm("queueops.view_alert"):
        return None
    n = alerts.visible(Alert.objects.open(), request.user)[: BADGE_COUNTS_TO + 1].count()
    return None if not n else str(n) if n <= BADGE_COUNTS_TO else f"{BADGE_COUNTS_TO}+"
