"""A dead letter's page in the console: what happened, whose it is, what it was given, and every attempt."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from queueops import audit, deadletters, privacy, verdicts, visibility
from queueops.audited import AuditedAdmin
from queueops.letter_acts import LetterActs
from queueops.models import DeadLetter, DeadLetterQuerySet
from queueops.readonly import json_block, two_lines

OTHERS_SHOWN = 20


class LetterPage(LetterActs, AuditedAdmin):
    """The page's fields, and what stands around them."""

    change_form_outer_before_template = "queueops/letter_actions.html"
    change_form_outer_after_template = "queueops/letter_others.html"
    text_fields = {
        "payload": privacy.masked,
        "edits": privacy.masked,
        "traceback": privacy.masked,
        "earlier": lambda attempts: without_quotes(attempts),
        "error": privacy.without_quotes,
    }
    fieldsets = (
        (
            "What happened",
            {"fields": ("error", "cause", "status", "attempts", "created_at", "window", "trace", "handled")},
        ),
        ("Whose it is", {"fields": ("account", "person", "kind", "lane", "answered_by", "source_id", "event")}),
        ("What it was given", {"fields": ("func", "pretty_payload", "pretty_edits")}),
        ("Every attempt", {"fields": ("every_attempt",)}),
    )

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        letter = super().get_object(request, *args, **kwargs)
        if letter is not None:
            verdicts.look_at_waits([letter])
        return letter

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        letter = context["original"]
        own = {
            "may_retry": self.has_retry_permission(request),
            "may_discard": self.has_discard_permission(request),
            "may_edit": self.has_edit_permission(request),
            "delivered_at": deadletters.delivered([letter]).get(letter.pk),
            "verdict": verdicts.of_letter(letter),
            "others": _of_the_same_event(request, letter)[:OTHERS_SHOWN],
        }
        return super().render_change_form(request, {**context, **own}, *args, **kwargs)

    def audit_trail(self, row: DeadLetter) -> list[Any]:
        """What people did with it, and with the event's letters before and after it."""
        keys = DeadLetter.objects.filter(event=row.event).values_list("pk", flat=True)
        return audit.trail(audit.kind_of(DeadLetter), keys)

    @admin.display(description="cause")
    def cause(self, letter: DeadLetter) -> str:
        return two_lines(letter.cause_title, with_code(letter, verdicts.of_letter(letter).word))

    @admin.display(description="answered by")
    def answered_by(self, letter: DeadLetter) -> str:
        """The automation, as it was called then, with the way to its other letters."""
        if not letter.automation:
            return "not known: it was given up before an automation was chosen, or is from before that was kept"
        address = f"{reverse('admin:queueops_deadletter_changelist')}?automation={letter.automation}"
        text = '{} <span class="cad-note">{}</span> <a class="cad-link" href="{}">Its dead letters</a>'
        return format_html(text, letter.automation_name, letter.automation, address)

    @admin.display(description="trace")
    def trace(self, letter: DeadLetter) -> str:
        try:
            address = reverse("trace", args=[letter.event])
        except NoReverseMatch:
            return letter.event
        return format_html('<a class="cad-link" href="{}">What became of the event</a>', address)

    @admin.display(description="handled")
    def handled(self, letter: DeadLetter) -> str:
        if letter.handled_at is None:
            return "not yet"
        who = letter.handled_by or "the system"
        return f"{letter.status} by {who}, {letter.handled_at:%Y-%m-%d %H:%M:%S} UTC"

    @admin.display(description="payload")
    def pretty_payload(self, letter: DeadLetter) -> str:
        return json_block(letter.payload)

    @admin.display(description="earlier versions")
    def pretty_edits(self, letter: DeadLetter) -> str:
        """What it was given before somebody changed that."""
        return json_block(letter.edits or None)

    @admin.display(description="window closes")
    def window(self, letter: DeadLetter) -> str:
        if letter.expires_at is None:
            return "not known"
        is_closed = letter.expires_at <= timezone.now()
        at = f"{letter.expires_at:%Y-%m-%d %H:%M} UTC"
        return f"closed at {at}: a retry would send nothing" if is_closed else at

    @admin.display(description="tracebacks")
    def every_attempt(self, letter: DeadLetter) -> str:
        """Oldest first, each to be opened; the last one is open."""
        earlier = [_shown(one["number"], one["at"], one["error"], one["traceback"]) for one in letter.earlier or []]
        last = _shown(letter.attempts, letter.created_at.isoformat(), letter.error, letter.traceback, is_open="open")
        return format_html_join("", ATTEMPT, [*earlier, last])


ATTEMPT = (
    '<details class="cad-attempt" {}><summary>Attempt {}, {} UTC: {}</summary>'
    '<pre class="cad-pre" tabindex="0">{}</pre></details>'
)


def _shown(number: int, at: str, error: str, traceback: str, *, is_open: str = "") -> tuple[str, int, str, str, str]:
    return is_open, number, at[:19].replace("T", " "), error, traceback or "no traceback"


def without_quotes(attempts: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """A letter's earlier attempts, without what people may have written."""
    shown = {"traceback": privacy.HIDDEN}
    return attempts and [{**one, "error": privacy.without_quotes(one["error"]), **shown} for one in attempts]


def with_code(letter: DeadLetter, text: str) -> str:
    """And Meta's own numbers to look up: … (code 190/463)."""
    code = "/".join(str(number) for number in (letter.cause_code, letter.cause_subcode) if number)
    return f"{text} (code {code})" if code else text


def _of_the_same_event(request: HttpRequest, letter: DeadLetter) -> DeadLetterQuerySet:
    """Each time that it was given up has a letter of its own; a retry changes none of them."""
    letters = visibility.letters(request.user).filter(event=letter.event).exclude(pk=letter.pk)
    return letters.select_related("handled_by").defer("payload", "traceback", "earlier", "edits")
