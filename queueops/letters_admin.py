"""Dead letters in the console: the list, its filters and its search. A letter's page is `queueops.letter_page`."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeNumericFilter

from queueops import list_filters, operations, selections, verdicts, visibility
from queueops.csv_export import ExportedAdmin, moment, text_of
from queueops.filters import AutomationFilter, CauseValuesFilter, WholeValueFilter
from queueops.letter_page import LetterPage, with_code
from queueops.models import DeadLetter
from queueops.readonly import PeriodFilter, RecentValuesFilter, label, one_line, two_lines
from queueops.templatetags.queue_console import words

LABELS = {"dead": "cad-bad", "resolved": "cad-good"}


@admin.register(DeadLetter)
class DeadLetterAdmin(LetterPage, ExportedAdmin):
    """Jobs that were given up. Retry, edit and discard are the only changes, each by its own permission."""

    list_display = ("when", "account_and_kind", "problem", "state", "retry_button")
    list_display_links = ("when",)
    list_filter = (
        ("status", ChoicesCheckboxFilter),
        ("lane", ChoicesCheckboxFilter),
        ("kind", RecentValuesFilter),
        ("account", WholeValueFilter),
        ("automation", AutomationFilter),
        ("cause_title", CauseValuesFilter),
        ("cause_code", CauseValuesFilter),
        ("cause_verdict", CauseValuesFilter),
        ("attempts", RangeNumericFilter),
        ("created_at", PeriodFilter),
    )
    search_fields = ("account__exact", "person__exact", "event__exact", "source_id__exact")
    search_help_text = "Account, person, message or comment id, event key, all whole; or words of an error or a text"
    # Each with the status is in an index; so are they without it, for the order begins with the status.
    indexed = tuple(
        frozenset({"status", field})
        for field in ("account", "kind", "automation", "cause_title", "cause_code", "fingerprint")
    )
    sortable_by = ("when",)
    # Of the statuses "dead" comes first, and the index `letter_status` has this very order.
    ordering = ("status", "-id")
    list_prefetch_related = ("handled_by",)
    list_before_template = "queueops/letter_bulk.html"
    export_without = ("traceback", "earlier", "edits")
    export_columns = {
        "id": lambda letter: letter.pk,
        "created_at": lambda letter: moment(letter.created_at),
        "status": lambda letter: letter.status,
        "lane": lambda letter: letter.lane,
        "kind": lambda letter: letter.kind,
        "account": lambda letter: letter.account,
        "automation": lambda letter: letter.automation,
        "automation_name": lambda letter: letter.automation_name,
        "person": lambda letter: letter.person,
        "source_id": lambda letter: letter.source_id,
        "event": lambda letter: letter.event,
        "code": lambda letter: letter.cause_code,
        "subcode": lambda letter: letter.cause_subcode,
        "cause": lambda letter: letter.cause_title,
        "verdict": lambda letter: letter.cause_verdict,
        "error": lambda letter: letter.error,
        "attempts": lambda letter: letter.attempts,
        "window_closes_at": lambda letter: moment(letter.expires_at),
        "handled_at": lambda letter: moment(letter.handled_at),
        "handled_by": lambda letter: str(letter.handled_by or ""),
        "text": lambda letter: _text(letter),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        letters: QuerySet[DeadLetter] = visibility.narrowed(super().get_queryset(request), request.user, "account")
        is_list = request.resolver_match and request.resolver_match.url_name == "queueops_deadletter_changelist"
        return letters.defer("traceback", "payload", "earlier") if is_list and request.method == "GET" else letters

    def text_condition(self, request: HttpRequest, word: str) -> Q:
        return selections.with_word(request.user, word)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return self.list_display if self.has_retry_permission(request) else self.list_display[:-1]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        changelist.result_list = list(changelist.result_list)
        verdicts.look_at_waits(changelist.result_list)
        return changelist

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {**(extra_context or {}), "bulk": self._bulk(request)}
        answer: HttpResponse = super().changelist_view(request, context)
        return answer

    def _bulk(self, request: HttpRequest) -> list[tuple[str, str]]:
        """(label, address of its plan) of what may be done to all that the filters leave."""
        selection = list_filters.selection(request.GET)
        return [
            (f"{what.label} all that match…", f"{address}?{selection.as_query()}")
            for what, permission in operations.PERMISSIONS.items()
            if selection is not None and request.user.has_perm(permission)
            for address in [reverse("admin:queueops_operation_plan", args=[what.value])]
        ]

    @admin.display(description="when", ordering="id")
    def when(self, letter: DeadLetter) -> Any:
        return letter.created_at

    @admin.display(description="account, kind, lane", ordering="account")
    def account_and_kind(self, letter: DeadLetter) -> str:
        return two_lines(letter.account, f"{words(letter.kind) or letter.func}, {letter.lane}")

    @admin.display(description="cause")
    def problem(self, letter: DeadLetter) -> str:
        advice = with_code(letter, verdicts.of_letter(letter).word)
        return two_lines(letter.cause_title or one_line(letter.error), advice)

    @admin.display(description="status", ordering="status")
    def state(self, letter: DeadLetter) -> str:
        shown = label(letter.status, LABELS.get(letter.status, ""))
        return two_lines(shown, f"{letter.attempts} attempt{'s' if letter.attempts != 1 else ''}")

    @admin.display(description="")
    def retry_button(self, letter: DeadLetter) -> str:
        """Sends the list's own form, with its token, to the row's address: a POST that needs no JavaScript."""
        if letter.status != DeadLetter.Status.DEAD:
            return ""
        address = reverse("admin:queueops_deadletter_retry", args=[letter.pk])
        return format_html('<button class="cad-button" type="submit" formaction="{}">Retry</button>', address)


def _text(letter: DeadLetter) -> str:
    args = letter.payload.get("args") if isinstance(letter.payload, dict) else [letter.payload]
    return text_of(args[0]) if args else ""
