"""An automation's page: a text tried against it and its neighbours, and a draft against what came in the last days."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path
from unfold.admin import ModelAdmin

from automations import backtest
from automations.backtest import Report
from automations.events import Kind
from automations.matching import PAYLOAD_TRIGGERS
from automations.models import Automation
from automations.rehearsal import KINDS, rehearse
from queueops import privacy

MOST_CHARACTERS = 2200  # Instagram's longest comment


class TryForm(forms.Form):
    """What somebody might write; `kind` is one that the automation's trigger is about."""

    text = forms.CharField(
        required=False,
        strip=False,
        max_length=MOST_CHARACTERS,
        widget=forms.TextInput({"class": "cad-input cad-wide", "placeholder": "What they write", "aria-label": "Text"}),
    )
    kind = forms.ChoiceField(widget=forms.Select({"class": "cad-input cad-few", "aria-label": "Kind"}))
    post = forms.CharField(
        required=False,
        max_length=64,
        widget=forms.TextInput(
            {"class": "cad-input cad-few", "placeholder": "Post or story id", "aria-label": "Post or story id"}
        ),
    )

    def __init__(self, automation: Automation, data: Any = None) -> None:
        super().__init__(data, initial={"post": automation.media_id}, prefix="try")
        kinds = [(kind.value, kind.value.replace("_", " ")) for kind in KINDS[automation.trigger]]
        self.fields["kind"].choices = kinds  # type: ignore[attr-defined] # a ChoiceField's
        if automation.trigger in PAYLOAD_TRIGGERS:
            self.fields["text"].widget.attrs["placeholder"] = "The payload"


@dataclass(frozen=True, slots=True)
class Table:
    """How often by which rule; `note` says what was counted."""

    title: str
    note: str
    counts: Counter[str]

    @property
    def rows(self) -> list[tuple[str, int]]:
        return self.counts.most_common()

    @property
    def total(self) -> int:
        return self.counts.total()


class RehearsalPages(ModelAdmin):  # type: ignore[misc] # Unfold ships no types
    """Mixed into the automations' admin. Neither page sends or writes anything."""

    change_form_before_template = "automations/tester_enter.html"
    change_form_outer_after_template = "automations/tester_below.html"

    def get_urls(self) -> list[Any]:
        site = self.admin_site
        own = [
            path("<uuid:pk>/try/", site.admin_view(self.try_text), name="automations_automation_try"),
            path("backtest/", site.admin_view(self.backtest), name="automations_automation_backtest"),
        ]
        return [*own, *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        automation: Automation | None = context.get("original")
        more = {
            "try_form": TryForm(automation) if automation else None,
            "backtest_days": backtest.DAYS,
            "may_backtest": _may_see_events(request),
        }
        return super().render_change_form(request, {**context, **more}, *args, **kwargs)

    def try_text(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """A POST although it changes nothing: addresses end up in logs, and the text may be somebody's."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        automation = get_object_or_404(self.get_queryset(request).select_related("account"), pk=pk)
        if not self.has_view_permission(request, automation):
            raise PermissionDenied
        form = TryForm(automation, request.POST)
        said = form.cleaned_data if form.is_valid() else None
        result = rehearse(automation, Kind(said["kind"]), said["text"], said["post"].strip()) if said else None
        context = {"title": f"Try a text on “{automation}”", "original": automation, "try_form": form, "result": result}
        return self._rehearsal_page(request, "automations/tester.html", context)

    def backtest(self, request: HttpRequest) -> HttpResponse:
        """The draft as it stands in the form; for those who may not change it, the automation as it is saved."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not _may_see_events(request):
            raise PermissionDenied
        draft, errors = self._draft(request)
        days = next((days for days in backtest.DAYS if str(days) == request.POST.get("days")), backtest.DAYS[0])
        may_see_text = privacy.may_see_text(request.user)
        report = None if errors else backtest.run(draft, days, with_text=may_see_text)
        context = {"title": f"Back-test of “{draft}”", "draft": draft, "errors": errors, "report": report}
        more = {"tables": _tables(report) if report else [], "may_see_text": may_see_text}
        return self._rehearsal_page(request, "automations/backtest.html", {**context, **more})

    def _draft(self, request: HttpRequest) -> tuple[Automation, list[str]]:
        """What is to be tested, never saved; and what is wrong with it. Raises PermissionDenied."""
        original = self._original(request)
        allowed = self.has_change_permission(request, original) if original else self.has_add_permission(request)
        if not allowed:
            if original is None or not self.has_view_permission(request, original):
                raise PermissionDenied
            return original, []
        form_class = self.get_form(request, original, change=original is not None)
        form = form_class(request.POST, instance=copy.copy(original))
        errors = [
            f"{form.fields[name].label if name in form.fields else ''} {error}".strip()
            for name, found in form.errors.items()
            for error in found
        ]
        return form.instance, errors

    def _original(self, request: HttpRequest) -> Automation | None:
        pk = request.POST.get("draft_of")
        try:
            return get_object_or_404(self.get_queryset(request).select_related("account"), pk=pk) if pk else None
        except ValidationError as error:  # no UUID
            raise PermissionDenied from error

    def _rehearsal_page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **context})


def _tables(report: Report) -> list[Table]:
    return [
        Table("Gained", "It would answer these, which really were answered by:", report.gained),
        Table("Lost", "It really answered these, which would be answered by:", report.lost),
        Table("Comes before", "These match the same events, and this one answers:", report.outranks),
        Table("Comes after", "This one matches the same events, and these answer:", report.outranked),
    ]


def _may_see_events(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("automations.view_event"))
