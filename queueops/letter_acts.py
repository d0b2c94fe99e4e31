"""What may be done about dead letters in the console: retry, discard, edit; by POST, each with its own permission."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import orjson
from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from redis.exceptions import RedisError

from queueops import deadletters, operators, privacy, visibility
from queueops.audit import CONSOLE, By
from queueops.embedded import EmbeddedValkeyError
from queueops.forms import ReasonedActionForm, reason_field
from queueops.models import DeadLetter, DeadLetterQuerySet
from queueops.readonly import ReadOnlyAdmin
from queueops.templatetags.queue_console import pretty_json

# Keeps one press of a button to some seconds; the message says when there were more.
HANDLED_AT_ONCE = 1000
MOST_TOLD = 20

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


class LetterActs(ReadOnlyAdmin):
    """The actions of the list, and those of a letter's page."""

    actions = ("retry_selected", "discard_selected")
    action_form = ReasonedActionForm

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("<uuid:pk>/retry/", view(self.retry_one), name="queueops_deadletter_retry"),
            path("<uuid:pk>/edit/", view(self.edit), name="queueops_deadletter_edit"),
            path("<uuid:pk>/discard/", view(self.discard_one), name="queueops_deadletter_discard"),
        ]
        return own + list(super().get_urls())

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


def _back(request: HttpRequest) -> str:
    """To the page whose button was pressed, if it is one of ours."""
    listing = reverse("admin:queueops_deadletter_changelist")
    came_from = request.headers.get("Referer", "").removeprefix(f"{request.scheme}://{request.get_host()}")
    return came_from if came_from.startswith(listing) else listing
