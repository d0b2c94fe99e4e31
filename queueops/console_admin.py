"""The queue's overview in the console, what nobody could use, and the switches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from redis.exceptions import RedisError
from unfold.admin import ModelAdmin

from queueops import consequences, console, history_charts, privacy, stats, switches, switching, visibility
from queueops.audit import CONSOLE, By
from queueops.embedded import EmbeddedValkeyError
from queueops.forms import SwitchForm
from queueops.models import Console
from queueops.switching import ORDERS, NotRecorded, Order


@admin.register(Console)
class ConsoleAdmin(ModelAdmin):  # type: ignore[misc] # Unfold ships no types
    """One page, no rows."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("queueops.view_console")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site
        return [
            path("", site.admin_view(self.overview), name="queueops_console_changelist"),
            path("body/", site.admin_view(self.body), name="queueops_console_body"),
            path("kept/<str:entry_id>/", site.admin_view(self.kept), name="queueops_console_kept"),
            path("switch/<str:subject>/<str:to>/", site.admin_view(self.switch), name="queueops_console_switch"),
        ]

    def overview(self, request: HttpRequest) -> HttpResponse:
        self._require_permission(request)
        return self._page(request, "queueops/overview.html", {"title": "Overview", **self._context(request)})

    def body(self, request: HttpRequest) -> HttpResponse:
        """The overview without its surroundings, for the page that refreshes itself."""
        self._require_permission(request)
        return TemplateResponse(
            request, "queueops/overview_body.html", self._context(request), headers={"Cache-Control": "no-store"}
        )

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return console.context(request.user, request.GET.get("span", history_charts.DEFAULT))

    def kept(self, request: HttpRequest, entry_id: str) -> HttpResponse:
        self._require_permission(request)
        found = console.find_kept(entry_id)
        if found is None:
            raise Http404("This body is no longer kept.")
        # Nobody can tell whose it is.
        sees = visibility.sees_everything(request.user)
        kept = replace(found, text=privacy.shown(request.user, found.text) if sees else visibility.NOT_YOURS)
        return self._page(request, "queueops/kept.html", {"title": "Unusable body", "kept": kept})

    def switch(self, request: HttpRequest, subject: str, to: str) -> HttpResponse:
        """What the order would do and would not; a POST carries it out."""
        self._require_permission(request)
        order = ORDERS.get((subject, to))
        if order is None:
            raise Http404("There is no such switch.")
        if not request.user.has_perm(order.permission):
            raise PermissionDenied
        form = SwitchForm(request.POST if request.method == "POST" else None, sets=order.sets)
        if form.is_bound and form.is_valid():
            self._carry_out(request, order, form)
            return HttpResponseRedirect(reverse("admin:queueops_console_changelist"))
        snapshot = stats.snapshot()
        plan = consequences.plan(order, snapshot, switches.current())
        context = {"title": order.title, "order": order, "plan": plan, "form": form, "snapshot": snapshot}
        return self._page(request, "queueops/switch.html", context)

    def _carry_out(self, request: HttpRequest, order: Order, form: SwitchForm) -> None:
        by = By(request.user, CONSOLE, form.cleaned_data["reason"].strip())
        try:
            has_changed = switching.carry_out(order, by, form.seconds)
        except NotRecorded as error:
            messages.warning(request, f"{order.done}. {error}")
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            messages.error(request, f"Redis cannot be reached, so nothing was switched. Try again later. ({error})")
        else:
            self._say(request, order, form, has_changed)

    def _say(self, request: HttpRequest, order: Order, form: SwitchForm, has_changed: bool) -> None:
        if not has_changed:
            messages.warning(request, f"Nothing to do: somebody was quicker. {order.done}.")
            return
        minutes = form.cleaned_data.get("minutes")
        end = f", for {minutes} minute{'' if minutes == 1 else 's'}" if minutes else ""
        messages.success(request, f"{order.done} in every process within two seconds{end}.")

    def _require_permission(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(request, template, {**self.admin_site.each_context(request), **context})
