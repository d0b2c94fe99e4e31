"""Operations on many dead letters in the console: the plan, its confirmation, and the progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from queueops import audit, operations
from queueops.audit import CONSOLE, By
from queueops.audited import VIEW_LOG, AuditedAdmin
from queueops.forms import reason_field
from queueops.models import Operation
from queueops.operations import CANARY, MOST_CANARIES, MOST_PACE, PACE, PERMISSIONS, NothingToDo, Plan
from queueops.readonly import ReadOnlyAdmin, one_line, two_lines
from queueops.selections import WHY_NOT, in_words, titles
from queueops.templatetags.queue_console import number

REFRESH_SECONDS = 3
LABELS = {"asked": "cad-warn", "running": "", "halted": "cad-bad", "cancelled": "", "done": "cad-good"}


def _small_number(label: str, least: int, most: int) -> forms.IntegerField:
    widget = forms.NumberInput({"class": "cad-input cad-number"})
    return forms.IntegerField(label=label, min_value=least, max_value=most, widget=widget)


class OrderForm(forms.Form):
    """What the plan leaves to the person: what goes along, how fast, and why."""

    canary = _small_number("First so many, and wait how they end", 0, MOST_CANARIES)
    pace = _small_number("Letters a second", 1, MOST_PACE)
    reason = reason_field()

    def __init__(self, data: Any, what: str, canary: int) -> None:
        super().__init__(data, initial={"canary": canary, "pace": PACE})
        if what != operations.RETRY:
            del self.fields["canary"]


@admin.register(Operation)
class OperationAdmin(AuditedAdmin, ReadOnlyAdmin):
    """The list is the admin's own; an operation's page and its plan are ours."""

    list_display = ("created_at", "what_and_which", "state_label", "progress", "who_and_why")
    list_filter = (("state", ChoicesCheckboxFilter), ("what", ChoicesCheckboxFilter))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Each row with `which`: its letters in words, the titles of all causes read at once."""
        changelist = super().get_changelist_instance(request)
        selections = [operation.selection for operation in changelist.result_list]
        named = titles({"fingerprint": [one for chosen in selections for one in chosen.get("fingerprint", ())]})
        for operation in changelist.result_list:
            operation.which = in_words(operation.selection, named)
        return changelist

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("plan/<str:what>/", view(self.plan), name="queueops_operation_plan"),
            path("<uuid:pk>/consent/", view(self.consent), name="queueops_operation_consent"),
            path("<uuid:pk>/cancel/", view(self.cancel), name="queueops_operation_cancel"),
            path("<uuid:pk>/go-on/", view(self.go_on), name="queueops_operation_go_on"),
        ]
        return own + list(super().get_urls())

    # --- Plan and confirm --------------------------------------------------------------------------------------------

    def plan(self, request: HttpRequest, what: str) -> HttpResponse:
        """What the order would do; a POST gives it. The selection is in the address."""
        if what not in Operation.What.values:
            raise Http404("There is retry and discard.")
        if not request.user.has_perms([PERMISSIONS[Operation.What(what)], "queueops.view_deadletter"]):
            raise PermissionDenied
        selection = {name: request.GET.getlist(name) for name in request.GET}
        canary = CANARY if "fingerprint" in selection else 0
        form = OrderForm(request.POST if request.method == "POST" else None, what, canary)
        try:
            if form.is_bound and form.is_valid():
                return self._start(request, what, selection, form)
            planned = operations.plan(what, selection, request.user)
        except ValueError as error:
            raise Http404(str(error)) from error
        context = {"title": f"{what.capitalize()} many dead letters", "plan": planned, "form": form}
        choices = _choices(planned, request)
        return self._page(request, "queueops/operation_plan.html", {**context, "choices": choices})

    def _start(self, request: HttpRequest, what: str, selection: dict[str, Any], form: OrderForm) -> HttpResponse:
        given = form.cleaned_data
        by = By(request.user, CONSOLE, given["reason"].strip())
        try:
            operation = operations.start(what, selection, by, canary=given.get("canary"), pace=given["pace"])
        except NothingToDo:
            messages.warning(request, "Nothing to do: no dead letter matches any more.")
            return HttpResponseRedirect(reverse("admin:queueops_deadletter_changelist"))
        return HttpResponseRedirect(_address(operation))

    # --- Progress and result -----------------------------------------------------------------------------------------

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        operation = _operation(object_id)
        user: Any = request.user
        hidden = operations.HIDDEN if operations.is_hidden_in_part(operation, user) else ""
        may = user.has_perm(PERMISSIONS[Operation.What(operation.what)]) and not hidden
        is_own = operation.asked_by_id == user.pk
        is_running = operation.state == Operation.State.RUNNING
        # A page that reloads takes what somebody is writing with it: the form is on one that does not.
        refreshes = is_running and "still" not in request.GET
        context = {
            "title": str(operation),
            "refreshes": refreshes,
            "operation": operation,
            "label": LABELS[operation.state],
            "selection": in_words(operation.selection, titles(operation.selection)),
            "plan": _plan_address(operation),
            "again": operations.again(operation),
            "may": may,
            "hidden": hidden,
            "may_consent": may and not is_own and user.has_perm(operations.CONSENT),
            "waits_for_canary": is_running and _waits(operation),
            "audit_trail": self.audit_trail(operation) if user.has_perm(VIEW_LOG) else [],
        }
        answer = self._page(request, "queueops/operation.html", context)
        if refreshes:
            # A header and no script: the browser itself asks again.
            answer["Refresh"] = str(REFRESH_SECONDS)
        return answer

    def consent(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._change(request, pk, operations.consent, "It begins.")

    def cancel(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._change(request, pk, operations.cancel, "Cancelled: what was done stays done.")

    def go_on(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._change(request, pk, operations.go_on, "It goes on.")

    def _change(
        self, request: HttpRequest, pk: UUID, change: Callable[[Operation, By], bool], done: str
    ) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        operation = get_object_or_404(Operation, pk=pk)
        if not request.user.has_perm(PERMISSIONS[Operation.What(operation.what)]):
            raise PermissionDenied
        reason = request.POST.get("reason", "").strip()
        if not reason:
            messages.error(request, "Nothing was done: say why, for the audit log.")
        elif change(operation, By(request.user, CONSOLE, reason)):
            messages.success(request, done)
        else:
            messages.warning(request, "Nothing to do: it has come further meanwhile.")
        return HttpResponseRedirect(_address(operation))

    def audit_trail(self, row: Any) -> list[Any]:
        return audit.trail(audit.kind_of(Operation), [row.pk])

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **context})

    # --- The list ----------------------------------------------------------------------------------------------------

    @admin.display(description="what")
    def what_and_which(self, operation: Any) -> str:
        return two_lines(operation.what.capitalize(), one_line(operation.which))

    @admin.display(description="state", ordering="state")
    def state_label(self, operation: Operation) -> str:
        return format_html('<span class="cad-label {}">{}</span>', LABELS[operation.state], operation.state)

    @admin.display(description="progress")
    def progress(self, operation: Operation) -> str:
        at_least = "" if operation.is_counted else "more than "
        return f"{number(operation.done)} of {at_least}{number(operation.total)}"

    @admin.display(description="who and why")
    def who_and_why(self, operation: Operation) -> str:
        return two_lines(operation.asked_by_name, one_line(operation.reason))


def _operation(key: str) -> Operation:
    try:
        return Operation.objects.get(pk=UUID(key))
    except (ValueError, Operation.DoesNotExist) as error:
        raise Http404("There is no such operation.") from error


def _address(operation: Operation) -> str:
    return reverse("admin:queueops_operation_change", args=[operation.pk])


def _waits(operation: Operation) -> bool:
    return 0 < operation.canary <= operation.done and not operation.canary_passed


def _plan_address(operation: Operation) -> str:
    """Of the page that says what it would do now, by cause and by account."""
    page = reverse("admin:queueops_operation_plan", args=[operation.what])
    return f"{page}?{urlencode(operation.selection, doseq=True)}"


def _choices(plan: Plan, request: HttpRequest) -> list[tuple[str, int, str, bool]]:
    """(why they are left out, how many, the address that changes it, whether they are included) of each reason."""
    choices = []
    for name in WHY_NOT if plan.what == operations.RETRY else ():
        is_in = name in plan.selection.include
        if is_in or plan.left_out.get(name):
            query = request.GET.copy()
            query.setlist("include", sorted(plan.selection.include ^ {name}))
            choices.append((WHY_NOT[name], plan.left_out.get(name, 0), f"?{query.urlencode()}", is_in))
    return choices
