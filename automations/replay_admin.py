"""Having events answered that nothing answered: what would happen to those that a list leaves, and the order."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from automations import replay
from automations.rehearsal_admin import Table
from queueops import privacy
from queueops.audit import CONSOLE, By
from queueops.forms import ReasonForm
from queueops.readonly import ReadOnlyAdmin, all_that_match

MOMENT = "Nothing was done: some of them were just being taken up. Look again in a moment."


class ReplayPages(ReadOnlyAdmin):
    """Mixed into the events' admin."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.replay_events)
        return [path("replay/", view, name="automations_event_replay"), *super().get_urls()]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("automations.replay_event"))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {**(extra_context or {}), "may_replay": self.has_replay_permission(request)}
        answer: HttpResponse = super().changelist_view(request, context)
        return answer

    def replay_events(self, request: HttpRequest) -> HttpResponse:
        """What would be answered by which rule; a POST has it done."""
        if not self.has_replay_permission(request):
            raise PermissionDenied
        may_see_text = privacy.may_see_text(request.user)
        plan = replay.plan(all_that_match(self, request), with_text=may_see_text)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        filters = request.GET.urlencode()
        leave = reverse("admin:automations_event_changelist") + (f"?{filters}" if filters else "")
        if form.is_bound and form.is_valid():
            self._carry_out(request, plan, form.cleaned_data["reason"])
            return redirect(leave)
        context = {"title": "Answer by the rules as they are now", "plan": plan, "form": form, "leave": leave}
        tables = (
            Table("Would be answered", "By which rule:", plan.by_rule),
            Table("Left out", "For which reason:", plan.left_out),
        )
        more = {
            "tables": tables,
            "may_see_text": may_see_text,
            "days": replay.REACH.days,
            **self.admin_site.each_context(request),
        }
        return TemplateResponse(request, "automations/replay.html", {**more, **context})

    def _carry_out(self, request: HttpRequest, plan: replay.Plan, reason: str) -> None:
        try:
            n = replay.replay(plan.chosen, By(request.user, CONSOLE, reason))
        except replay.StillQueued:
            messages.warning(request, MOMENT)
            return
        if n:
            what = "One event goes" if n == 1 else f"{n} events go"
            messages.success(request, f"{what} through the queue once more, within seconds; each one's page says how.")
        else:
            messages.warning(request, "Nothing was done: none of them would be answered.")
