"""Calls to the Graph API in the console, and what may be decided about those of which nobody knows the outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.shortcuts import get_object_or_404, redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from automations import decisions, translator
from automations.access import OfTenants
from automations.models import Delivery
from queueops import privacy
from queueops.audit import CONSOLE, By
from queueops.audited import AuditedAdmin
from queueops.forms import ReasonForm
from queueops.readonly import PeriodFilter, ReadOnlyAdmin, json_block, label, one_line, two_lines
from queueops.templatetags.queue_console import words

STATUS_CLASSES = {"sent": "cad-good", "failed": "cad-bad", "unconfirmed": "cad-warn"}


@dataclass(frozen=True, slots=True)
class Decision:
    """One that an operator may take: `carry_out` answers whether there was still something to decide."""

    title: str
    done: str
    sentences: tuple[str, ...]
    carry_out: Callable[[UUID, By], bool]


DECISIONS = {
    "mark-sent": Decision(
        "Mark as sent",
        "Marked as sent",
        (
            "The delivery counts as sent, and so does its event when nothing else of it is unconfirmed.",
            "Nothing is sent. Look into the account's inbox on Instagram first: the message is there, or it is not.",
        ),
        decisions.mark_sent,
    ),
    "send-again": Decision(
        "Send again",
        "It is sent again within seconds",
        (
            "The step is sent once more, with the text that its automation has now. If it arrived the first time, the "
            "person gets it twice: look into the account's inbox on Instagram first.",
            "Steps that were sent stay as they are. Meta's windows hold: after them the step is skipped, visibly.",
        ),
        decisions.send_again,
    ),
}


@admin.register(Delivery)
class DeliveryAdmin(OfTenants, AuditedAdmin, ReadOnlyAdmin):
    """Calls to the Graph API. A decision about an unconfirmed one is the only change, with a permission of its own."""

    tenant_path = "event__account"
    text_fields = {"body": privacy.masked}
    list_display = ("created", "kind", "recipient", "step", "state", "short_error", "short_event")
    list_display_links = ("created",)
    list_filter = (
        ("status", ChoicesCheckboxFilter),
        ("kind", ChoicesCheckboxFilter),
        ("created_at", PeriodFilter),
    )
    sortable_by = ("created",)
    indexed = (frozenset({"status"}),)
    list_prefetch_related = ("automation", "event")
    # A recipient is the event's person or its comment: of both the events have an index, and it is written once.
    search_fields = ("event__key__exact", "event__source_id__exact", "event__person__exact")
    search_help_text = "Recipient, event key, message or comment id, or Meta's id of what was sent, all whole"
    change_form_outer_before_template = "automations/delivery_decisions.html"
    fieldsets = (
        (None, {"fields": ("whole_event", "automation", "step", "kind", "recipient", "status")}),
        ("Sent", {"fields": ("pretty_body", "message_id", "created_at", "finished_at")}),
        ("Error", {"fields": ("meaning", "pretty_error")}),
    )

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.decide)
        own = [
            path(f"<uuid:pk>/{name}/", view, {"name": name}, name=f"automations_delivery_{name.replace('-', '_')}")
            for name in DECISIONS
        ]
        return own + list(super().get_urls())

    def text_condition(self, request: Any, word: str) -> Q:
        """Meta's ids have no index here, which each delivery would pay for: they are looked for."""
        return Q(message_id=word)

    def has_settle_permission(self, request: Any) -> bool:
        return bool(request.user.has_perm("automations.settle_delivery"))

    def render_change_form(self, request: Any, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        may = {"may_settle": self.has_settle_permission(request)}
        return super().render_change_form(request, {**context, **may}, *args, **kwargs)

    def decide(self, request: Any, pk: UUID, name: str) -> Any:
        """What the decision would do; a POST carries it out."""
        if not self.has_settle_permission(request):
            raise PermissionDenied
        decision = DECISIONS[name]
        delivery = get_object_or_404(self.get_queryset(request).select_related("event"), pk=pk)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if form.is_bound and form.is_valid():
            self._carry_out(request, decision, delivery, form.cleaned_data["reason"])
            return redirect("admin:automations_event_change", delivery.event_id)
        context = {"title": decision.title, "decision": decision, "delivery": delivery, "form": form}
        return TemplateResponse(
            request, "automations/decide.html", {**self.admin_site.each_context(request), **context}
        )

    def _carry_out(self, request: Any, decision: Decision, delivery: Delivery, reason: str) -> None:
        try:
            is_done = decision.carry_out(delivery.pk, By(request.user, CONSOLE, reason))
        except decisions.StillQueued:
            messages.warning(request, "Nothing was done: the event is still in the queue. Try again when it has ended.")
            return
        if is_done:
            messages.success(request, f"{decision.done}.")
        else:
            messages.warning(request, "Nothing was done: the delivery, or its event, is not unconfirmed any more.")

    @admin.display(description="created", ordering="id")
    def created(self, delivery: Delivery) -> Any:
        return delivery.created_at

    @admin.display(description="status")
    def state(self, delivery: Delivery) -> str:
        return label(delivery.status, STATUS_CLASSES.get(delivery.status, ""))

    @admin.display(description="error")
    def short_error(self, delivery: Delivery) -> str:
        return one_line(str((delivery.error or {}).get("title", "")))

    @admin.display(description="event")
    def short_event(self, delivery: Delivery) -> str:
        address = reverse("admin:automations_event_change", args=[delivery.event_id])
        event = delivery.event
        return two_lines(
            format_html('<a class="cad-link" href="{}">{}</a>', address, words(event.kind)), one_line(event.source_id)
        )

    @admin.display(description="body")
    def pretty_body(self, delivery: Delivery) -> str:
        return json_block(delivery.body)

    @admin.display(description="what it means")
    def meaning(self, delivery: Delivery) -> str:
        found = translator.explain_error(delivery.error)
        return render_to_string("automations/why_meaning.html", {"meaning": found}) if found else "-"

    @admin.display(description="error")
    def pretty_error(self, delivery: Delivery) -> str:
        return json_block(delivery.error)

    @admin.display(description="event")
    def whole_event(self, delivery: Delivery) -> str:
        address = reverse("admin:automations_event_change", args=[delivery.event_id])
        return format_html('<a class="cad-link" href="{}">{}</a>', address, delivery.event)
