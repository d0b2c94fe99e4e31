"""“Why did this message (not) go out?”: one search, and the page of one event, from its receipt to what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.validators import MaxValueValidator, MinValueValidator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from redis.exceptions import RedisError
from unfold.admin import ModelAdmin

from automations import story, translator, why
from automations.answer import answer
from automations.models import Account, Delivery, Event
from automations.translator import Explanation
from automations.why import Found, Period, Seen
from queueops import connections, privacy, switches, whereabouts
from queueops.embedded import EmbeddedValkeyError
from queueops.keys import EARLIEST, LATEST
from queueops.models import DeadLetter
from queueops.whereabouts import Whereabouts

OUTCOME_CLASSES = {"sent": "cad-good", "dead": "cad-bad", "retrying": "cad-warn", "unconfirmed": "cad-warn"}
LETTERS_SHOWN = 5
DEFAULT_MINUTES = "60"
WITHIN = ((10, "± 10 minutes"), (60, "± 1 hour"), (720, "± 12 hours"))


class WhyForm(forms.Form):
    """What is looked for; a time narrows what is found of a person or an account."""

    q = forms.CharField(
        label="What",
        required=False,
        widget=forms.TextInput(
            {
                "class": "cad-input cad-wide",
                "type": "search",
                "placeholder": "Comment or message id, a comment's address, event key, @name, person or account",
                "aria-label": "Comment or message id, address, event key, person or account",
            }
        ),
    )
    at = forms.DateTimeField(
        label="Time",
        required=False,
        input_formats=("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"),
        validators=[MinValueValidator(EARLIEST), MaxValueValidator(LATEST)],
        widget=forms.DateTimeInput(
            {"class": "cad-input cad-few", "type": "datetime-local", "aria-label": "When, in UTC (optional)"},
            format="%Y-%m-%dT%H:%M",
        ),
    )
    within = forms.ChoiceField(
        label="How exactly",
        required=False,
        choices=WITHIN,
        widget=forms.Select({"class": "cad-input cad-few", "aria-label": "How exactly"}),
    )

    @property
    def period(self) -> Period | None:
        at = self.cleaned_data.get("at")
        around = timedelta(minutes=int(self.cleaned_data.get("within") or DEFAULT_MINUTES))
        return None if at is None else Period(at - around, at + around)


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a list, with its answer."""

    event: Event
    answer: str
    label: str


@dataclass(frozen=True, slots=True)
class Tried:
    """One delivery, with what Meta's answer means."""

    delivery: Delivery
    meaning: Explanation | None


class WhyPages(ModelAdmin):  # type: ignore[misc] # Unfold ships no types
    """The search, and where an event is that has no page of its own yet. Mixed into the events' admin."""

    change_form_outer_before_template = "automations/why_event.html"

    def get_urls(self) -> list[Any]:
        site = self.admin_site
        own = [
            path("why/", site.admin_view(self.why), name="automations_event_why"),
            path("by-key/<path:key>/", site.admin_view(self.by_key), name="automations_event_trace"),
        ]
        return [*own, *super().get_urls()]

    def why(self, request: HttpRequest) -> HttpResponse:
        """One hit leads to its page; many are listed, and of none is said where it was looked for."""
        self._require_view(request)
        form = WhyForm({"within": DEFAULT_MINUTES, **request.GET.dict()} if request.GET else None)
        found: Found | None = None
        if form.is_bound and form.is_valid() and (form.cleaned_data["q"].strip() or form.period):
            found = why.find(form.cleaned_data["q"], form.period, Seen.by(request.user))
            if (address := _only_one(found)) is not None:
                return redirect(address)
        context = {"form": form, "found": found, "lines": self._lines(request, found) if found else []}
        return self._why_page(request, "automations/why.html", context)

    def by_key(self, request: HttpRequest, key: str) -> HttpResponse:
        """The page of the event with this key, message or comment id, also while it has no row."""
        self._require_view(request)
        found = why.find(key, None, Seen.by(request.user))
        if found.events:
            return redirect("admin:automations_event_change", found.events[0].pk)
        if found.held:
            return self._waiting(request, found.held[0])
        messages.warning(request, f"Nothing is written about event {key}, and nothing of it waits.")
        return self._why_page(
            request, "automations/why.html", {"form": WhyForm({"q": key, "within": DEFAULT_MINUTES}), "found": found}
        )

    def why_context(self, request: HttpRequest, event: Event) -> dict[str, Any]:
        """Everything its page shows. Text that the viewer may not see has been taken out of the row before."""
        account = Account.objects.defer("token").filter(instagram_id=event.account).first()
        deliveries = list(event.deliveries.select_related("automation").order_by("step", "id"))
        letters = list(DeadLetter.objects.filter(event=event.key).defer("payload", "traceback")[:LETTERS_SHOWN])
        if not privacy.may_see_text(request.user):
            for letter in letters:
                letter.error = privacy.without_quotes(letter.error)
        where, is_known = (None, True) if event.is_final else _whereabouts(event.key)
        return {
            "answer": answer(event, deliveries),
            "outcome": event.outcome,
            "outcome_class": OUTCOME_CLASSES.get(event.outcome, ""),
            "until_the_rules": story.until_the_rules(event, account),
            "until_the_call": story.until_the_call(event, account, deliveries),
            "account": account,
            "tried": [Tried(one, translator.explain_error(one.error)) for one in deliveries],
            "letters": [(one, translator.explain_letter(one)) for one in letters],
            "next_steps": story.next_steps(event, account, letters, where, switches.current()),
            "redis_is_away": not is_known,
        }

    def _waiting(self, request: HttpRequest, where: Whereabouts) -> HttpResponse:
        payload = where.held.payload
        account = Account.objects.defer("token").filter(instagram_id=str(payload.get("account", ""))).first()
        context = {
            "where": where,
            "payload": payload,
            "stations": story.of_held(where, account),
            "next_steps": story.waiting(where, switches.current()),
        }
        return self._why_page(request, "automations/why_waiting.html", context)

    def _lines(self, request: HttpRequest, found: Found) -> list[Line]:
        if not privacy.may_see_text(request.user):
            for event in found.events:
                self.hide_text(event)
        return [
            Line(event, answer(event, list(event.deliveries.all())), OUTCOME_CLASSES.get(event.outcome, ""))
            for event in found.events
        ]

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _why_page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        page = {"title": "Why did this message (not) go out?", **self.admin_site.each_context(request), **context}
        return TemplateResponse(request, template, page)


def _only_one(found: Found) -> str | None:
    """The address of the page, if there is just one thing."""
    if len(found.events) == 1:
        return reverse("admin:automations_event_change", args=[found.events[0].pk])
    if len(found.held) == 1 and not found.events:
        return reverse("admin:automations_event_trace", args=[found.held[0].id])
    return None


def _whereabouts(key: str) -> tuple[Whereabouts | None, bool]:
    """Where the job of an event that is not over is, and whether Redis could be asked."""
    found: Sequence[Whereabouts] = whereabouts.find_in_fallback([key])
    try:
        found = [*found, *whereabouts.find(connections.client(), [key])]
    except (RedisError, OSError, EmbeddedValkeyError):
        return next(iter(found), None), False
    return next(iter(found), None), True
