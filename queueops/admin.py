"""Dead letters in the console, with what may be done about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import orjson
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from redis.exceptions import RedisError
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeNumericFilter

from queueops import alerts_admin as alerts_admin
from queueops import api_token_admin as api_token_admin
from queueops import audit_admin as audit_admin
from queueops import causes_admin as causes_admin
from queueops import console_admin as console_admin
from queueops import deadletters, list_filters, operations, operators, privacy, selections, visibility
from queueops import operations_admin as operations_admin
from queueops.audit import CONSOLE, By
from queueops.audited import AuditedAdmin
from queueops.embedded import EmbeddedValkeyError
from queueops.filters import CauseValuesFilter, WholeValueFilter
from queueops.forms import ReasonedActionForm, reason_field
from queueops.models import DeadLetter, DeadLetterQuerySet
from queueops.readonly import (
    PeriodFilter,
    ReadOnlyAdmin,
    RecentValuesFilter,
    block,
    json_block,
    one_line,
    two_lines,
)
from queueops.templatetags.queue_console import pretty_json, words

# Keeps one press of a button to some seconds; the message says when there were more.
HANDLED_AT_ONCE = 1000
MOST_TOLD = 20

LABELS = {"dead": "cad-bad", "resolved": "cad-good"}

# What an operator does next, by the verdicts of errors.Cause.
ADVICE = {
    "retry": "A retry may help",
    "wait": "Wait, then retry",
    "reject": "A retry helps only once the cause is gone",
    "pause_account": "Meta has paused the account: retry later",
    "needs_owner": "The account's owner must act; then retry",
    "probably_sent": "It may have been sent: look before a retry",
    "bug": "An error of our own: a developer must look",
}

Handle = Callable[[Iterable[DeadLetter], By], int]


class EditForm(forms.Form):
    """What the job is given, as JSON, and why it is changed."""

    args = forms.CharField(
        label="What the job is given",
        max_length=200_000,
        widget=forms.Textarea({"class": "cad-input cad-area", "spellcheck": "false"}),
    )
    reason = reason_field()

    def clean_args(self) -> Any:
        """The value. PostgreSQL keeps no NUL, and orjson reads no lone surrogates."""
        text = self.cleaned_data["args"]
        try:
            value = orjson.loads(text)
        except ValueError as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from error
        if b"\\u0000" in orjson.dumps(value):
            raise forms.ValidationError("It holds a NUL, which the database cannot keep.")
        return value


@admin.register(DeadLetter)
class DeadLetterAdmin(AuditedAdmin, ReadOnlyAdmin):
    """Jobs that were given up. Retry and discard are the only changes, by POST and with a permission of their own."""

    list_display = ("when", "account_and_kind", "problem", "state", "retry_button")
    list_display_links = ("when",)
    list_filter = (
        ("status", ChoicesCheckboxFilter),
        ("lane", ChoicesCheckboxFilter),
        ("kind", RecentValuesFilter),
        ("account", WholeValueFilter),
        ("cause_title", CauseValuesFilter),
        ("cause_code", CauseValuesFilter),
        ("cause_verdict", CauseValuesFilter),
        ("attempts", RangeNumericFilter),
        ("created_at", PeriodFilter),
    )
    search_fields = ("account__exact", "person__exact", "event__exact", "source_id__exact")
    search_help_text = "Account, person, message or comment id, event key, all whole; or words of an error or a text"
    # Each with the status is in an index; so are they without it, for the order begins with the status.
    indexed = tuple(frozenset({"status", field}) for field in ("account", "kind", "cause_title", "cause_code"))
    sortable_by = ("when",)
    text_fields = {
        "payload": privacy.masked,
        "edits": privacy.masked,
        "traceback": privacy.masked,
        "error": privacy.without_quotes,
    }
    # Of the statuses "dead" comes first, and the index `letter_status` has this very order.
    ordering = ("status", "-id")
    list_select_related = ("handled_by",)
    actions = ("retry_selected", "discard_selected")
    action_form = ReasonedActionForm
    list_before_template = "queueops/letter_bulk.html"
    change_form_outer_before_template = "queueops/letter_actions.html"
    fieldsets = (
        (
            "What happened",
            {"fields": ("error", "cause", "status", "attempts", "created_at", "window", "trace", "handled")},
        ),
        ("Whose it is", {"fields": ("account", "person", "kind", "lane", "source_id", "event")}),
        ("What it was given", {"fields": ("func", "pretty_payload", "pretty_edits")}),
        ("Traceback", {"fields": ("pretty_traceback",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        letters: QuerySet[DeadLetter] = visibility.narrowed(super().get_queryset(request), request.user, "account")
        is_list = request.resolver_match and request.resolver_match.url_name == "queueops_deadletter_changelist"
        return letters.defer("traceback", "payload") if is_list and request.method == "GET" else letters

    def text_condition(self, request: HttpRequest, word: str) -> Q:
        return selections.with_word(request.user, word)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return self.list_display if self.has_retry_permission(request) else self.list_display[:-1]

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site
        own = [
            path("<uuid:pk>/retry/", site.admin_view(self.retry_one), name="queueops_deadletter_retry"),
            path("<uuid:pk>/edit/", site.admin_view(self.edit), name="queueops_deadletter_edit"),
            path("<uuid:pk>/discard/", site.admin_view(self.discard_one), name="queueops_deadletter_discard"),
        ]
        return own + list(super().get_urls())

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        letter = context.get("original")
        may = {
            "may_retry": self.has_retry_permission(request),
            "may_discard": self.has_discard_permission(request),
            "may_edit": self.has_edit_permission(request),
            "delivered_at": deadletters.delivered([letter]).get(letter.pk) if letter is not None else None,
        }
        return super().render_change_form(request, {**context, **may}, *args, **kwargs)

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

    # --- What may be done --------------------------------------------------------------------------------------------

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("queueops.retry_deadletter")

    def has_bulk_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("queueops.bulk_retry_deadletter")

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("queueops.discard_deadletter")

    def has_edit_permission(self, request: HttpRequest) -> bool:
        """Whoever changes what people wrote must be allowed to see it, and to retry."""
        needed = ["queueops.edit_deadletter", "queueops.retry_deadletter", privacy.SEE_TEXT]
        return request.user.has_perms(needed)

    def edit(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Change what the job is given and retry it, by a POST."""
        if not self.has_edit_permission(request):
            raise PermissionDenied
        letter = get_object_or_404(visibility.letters(request.user), pk=pk)
        shown = {"args": pretty_json(letter.payload["args"])}
        form = EditForm(request.POST if request.method == "POST" else None, initial=shown)
        if form.is_bound and form.is_valid() and self._edit(request, letter, form):
            return HttpResponseRedirect(reverse("admin:queueops_deadletter_change", args=[pk]))
        context = {"title": "Change what the job is given, and retry it", "letter": letter, "form": form}
        return TemplateResponse(
            request, "queueops/letter_edit.html", {**self.admin_site.each_context(request), **context}
        )

    def _edit(self, request: HttpRequest, letter: DeadLetter, form: EditForm) -> bool:
        try:
            operators.edit(letter, form.cleaned_data["args"], By(request.user, CONSOLE, form.cleaned_data["reason"]))
        except ValueError as error:
            form.add_error("args", str(error))
            return False
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            messages.error(request, f"It is changed, but Redis cannot be reached: retry it later. ({error})")
        else:
            messages.success(request, "Changed, and on its way again.")
        return True

    @admin.action(description="Retry selected dead letters", permissions=["bulk_retry"])
    def retry_selected(self, request: HttpRequest, letters: DeadLetterQuerySet) -> None:
        self._handle(request, self._undelivered(request, letters), operators.retry, "retried")

    @admin.action(description="Discard selected dead letters", permissions=["discard"])
    def discard_selected(self, request: HttpRequest, letters: DeadLetterQuerySet) -> None:
        if letters.dead().count() > settings.QUEUE_CONSENT_ABOVE:
            say = (
                f"Nothing was discarded: more than {settings.QUEUE_CONSENT_ABOVE} need two people. Use the filters and"
            )
            messages.error(request, f"{say} “Discard all that match…”.")
            return
        self._handle(request, letters, operators.discard, "discarded")

    def _undelivered(self, request: HttpRequest, letters: DeadLetterQuerySet) -> DeadLetterQuerySet:
        """Without those whose message went out already, unless the person says that they know."""
        if "anyway" in request.POST:
            return letters
        chosen = list(letters.dead().order_by("id").defer("payload", "traceback", "edits")[: HANDLED_AT_ONCE + 1])
        delivered = deadletters.delivered(chosen)
        for letter in (one for one in chosen[:MOST_TOLD] if one.pk in delivered):
            address = reverse("admin:queueops_deadletter_change", args=[letter.pk])
            say = 'Already delivered at {}, so not retried: <a class="cad-link" href="{}">{}</a>'
            at = f"{delivered[letter.pk]:%Y-%m-%d %H:%M} UTC"
            messages.warning(request, format_html(say, at, address, letter.source_id or letter.event))
        return letters.exclude(pk__in=list(delivered)) if delivered else letters

    def retry_one(self, request: HttpRequest, pk: Any) -> HttpResponse:
        return self._handle_one(request, pk, self.retry_selected, self.has_retry_permission(request))

    def discard_one(self, request: HttpRequest, pk: Any) -> HttpResponse:
        return self._handle_one(request, pk, self.discard_selected, self.has_discard_permission(request))

    def _handle_one(
        self,
        request: HttpRequest,
        pk: Any,
        action: Callable[[HttpRequest, DeadLetterQuerySet], None],
        is_allowed: bool,
    ) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not is_allowed:
            raise PermissionDenied
        action(request, visibility.letters(request.user).filter(pk=pk))
        return HttpResponseRedirect(_back(request))

    def _handle(self, request: HttpRequest, letters: DeadLetterQuerySet, handle: Handle, done: str) -> None:
        ids = list(letters.dead().order_by("id").values_list("pk", flat=True)[: HANDLED_AT_ONCE + 1])
        if not ids:
            messages.warning(request, "Nothing to do: none of them is dead any more.")
            return
        try:
            by = By(request.user, CONSOLE, request.POST.get("reason", ""))
            n = handle(DeadLetter.objects.filter(pk__in=ids[:HANDLED_AT_ONCE]).order_by("id"), by)
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            messages.error(request, f"Redis cannot be reached, so nothing more was done. Try again later. ({error})")
            return
        messages.success(request, f"{n} dead letter{'' if n == 1 else 's'} {done}.")
        if len(ids) > HANDLED_AT_ONCE:
            messages.warning(request, f"More are selected than the {HANDLED_AT_ONCE} handled at once: do it again.")

    # --- What is shown -----------------------------------------------------------------------------------------------

    @admin.display(description="when", ordering="id")
    def when(self, letter: DeadLetter) -> Any:
        return letter.created_at

    @admin.display(description="account, kind, lane", ordering="account")
    def account_and_kind(self, letter: DeadLetter) -> str:
        return two_lines(letter.account, f"{words(letter.kind) or letter.func}, {letter.lane}")

    @admin.display(description="cause")
    def problem(self, letter: DeadLetter) -> str:
        return two_lines(letter.cause_title or one_line(letter.error), _advice(letter))

    @admin.display(description="cause")
    def cause(self, letter: DeadLetter) -> str:
        return two_lines(letter.cause_title, _advice(letter))

    @admin.display(description="status", ordering="status")
    def state(self, letter: DeadLetter) -> str:
        label = format_html('<span class="cad-label {}">{}</span>', LABELS.get(letter.status, ""), letter.status)
        return two_lines(label, f"{letter.attempts} attempt{'s' if letter.attempts != 1 else ''}")

    @admin.display(description="")
    def retry_button(self, letter: DeadLetter) -> str:
        """Sends the list's own form, with its token, to the row's address: a POST that needs no JavaScript."""
        if letter.status != DeadLetter.Status.DEAD:
            return ""
        address = reverse("admin:queueops_deadletter_retry", args=[letter.pk])
        return format_html('<button class="cad-button" type="submit" formaction="{}">Retry</button>', address)

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

    @admin.display(description="traceback")
    def pretty_traceback(self, letter: DeadLetter) -> str:
        return block(letter.traceback or "none")


def _advice(letter: DeadLetter) -> str:
    """What to do, and Meta's own numbers to look up: … (code 190/463)."""
    code = "/".join(str(number) for number in (letter.cause_code, letter.cause_subcode) if number)
    advice = ADVICE.get(letter.cause_verdict, words(letter.cause_verdict))
    return f"{advice} (code {code})" if code else advice


def _back(request: HttpRequest) -> str:
    """To the page whose button was pressed, if it is one of ours."""
    listing = reverse("admin:queueops_deadletter_changelist")
    came_from = request.headers.get("Referer", "").removeprefix(f"{request.scheme}://{request.get_host()}")
    return came_from if came_from.startswith(listing) else listing
