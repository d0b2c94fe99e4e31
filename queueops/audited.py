"""Admin pages whose every change goes into the audit log, and that show what the log has about their object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models
from django.http import HttpRequest

from queueops import audit
from queueops.audit import CONSOLE, Act, By
from queueops.wrong_addresses import Forgiving

VIEW_LOG = "queueops.view_auditentry"


class AuditedAdmin(Forgiving):
    """Add, change and delete are recorded in the transaction that does them: which fields, not what was in them."""

    change_form_outer_after_template = "queueops/audit_trail.html"
    # But for these, which say who may do what: their new values are recorded, too.
    audited_values: tuple[str, ...] = ()

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> list[Any]:
        message = super().construct_change_message(request, form, formsets, add)
        values = {name: _plain(form.cleaned_data[name]) for name in self.audited_values if name in form.changed_data}
        return [*message, {"values": values}] if values else list(message)

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self._record(request, "add", [obj], message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        self._record(request, "change", [obj], message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Iterable[models.Model]) -> Any:
        self._record(request, "delete", list(queryset), [])
        return super().log_deletions(request, queryset)

    def _record(self, request: HttpRequest, action: str, rows: list[models.Model], message: Any) -> None:
        audit.record(
            Act(
                by=By(request.user, CONSOLE, request.POST.get("reason", "")),
                action=action,
                kind=audit.kind_of(self.model),
                targets=[(str(row.pk), str(row)) for row in rows],
                details={"message": message} if message else {},
            )
        )

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        row = context.get("original")
        trail = self.audit_trail(row) if row is not None and request.user.has_perm(VIEW_LOG) else []
        return super().render_change_form(request, {**context, "audit_trail": trail}, *args, **kwargs)

    def audit_trail(self, row: Any) -> list[Any]:
        """The newest entries about the object of the page."""
        return audit.trail(audit.kind_of(self.model), [row.pk])


def _plain(value: Any) -> Any:
    """As JSON: of rows their names."""
    return sorted(str(row) for row in value) if isinstance(value, models.QuerySet) else value
