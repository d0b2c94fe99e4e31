"""Lists as CSV for spreadsheets: read some rows at a time and sent as they come, however many there are."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Model, QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import URLPattern, path

from queueops import audit, privacy
from queueops.audit import CONSOLE, Act, By
from queueops.readonly import ReadOnlyAdmin, all_that_match

CONTENT_TYPE = "text/csv; charset=utf-8"
ROWS_AT_ONCE = 500
# A spreadsheet takes a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_line(values: Iterable[object]) -> str:
    """One line, of texts that no spreadsheet takes for formulas."""
    text = io.StringIO()
    guarded = [f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value for value in values]
    csv.writer(text).writerow(guarded)
    return text.getvalue()


def by_key(rows: QuerySet[Any], *, oldest_first: bool = False) -> Iterator[list[Any]]:
    """All of them, ROWS_AT_ONCE by ROWS_AT_ONCE, each read by the key: no cursor is held while somebody downloads."""
    order, onward = ("pk", "pk__gt") if oldest_first else ("-pk", "pk__lt")
    ordered = rows.order_by(order)
    page = list(ordered[:ROWS_AT_ONCE])
    while page:
        yield page
        is_last = len(page) < ROWS_AT_ONCE
        page = [] if is_last else list(ordered.filter(**{onward: page[-1].pk})[:ROWS_AT_ONCE])


def taken_away(model_admin: ReadOnlyAdmin, request: HttpRequest, format: str) -> QuerySet[Any]:
    """What the filters of the address leave. That it is taken away is in the audit log, with them.

    Raises PermissionDenied, or BadRequest for filters that cannot be read.
    """
    rows = all_that_match(model_admin, request)
    by, taken = By(request.user, CONSOLE), {"format": format, "filters": request.GET.urlencode()}
    audit.record(Act(by=by, action="export", kind=audit.kind_of(model_admin.model), details=taken))
    return rows


def streamed(
    request: HttpRequest, parts: Iterator[str], file: str, content_type: str = CONTENT_TYPE
) -> StreamingHttpResponse:
    """The answer that hands the parts over one by one, whichever kind of server asks. file: its name."""
    content = _one_by_one(parts) if isinstance(request, ASGIRequest) else parts
    answer = StreamingHttpResponse(content, content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{file}"'
    return answer


async def _one_by_one(parts: Iterator[str]) -> AsyncIterator[str]:
    following = sync_to_async(lambda: next(parts, None))
    while (part := await following()) is not None:
        yield part


class ExportedAdmin(ReadOnlyAdmin):
    """A list that can be taken away as it is shown, every page of it; what people wrote only by who may see that."""

    # The columns' names, each with how its value is read from a row.
    export_columns: dict[str, Callable[[Any], object]] = {}
    # Fields that are not read.
    export_without: tuple[str, ...] = ()

    @property
    def _export_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_export"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export)
        return [path("export/", view, name=self._export_name), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {**(extra_context or {}), "export_name": f"admin:{self._export_name}"}
        answer: HttpResponse = super().changelist_view(request, context)
        return answer

    def export(self, request: HttpRequest) -> HttpResponseBase:
        rows = taken_away(self, request, "csv")
        parts = self._parts(rows.defer(*self.export_without), may_see_text=privacy.may_see_text(request.user))
        return streamed(request, parts, f"{self.opts.verbose_name_plural}.csv".replace(" ", "-"))

    def _parts(self, rows: QuerySet[Any], *, may_see_text: bool) -> Iterator[str]:
        yield csv_line(self.export_columns)
        for page in by_key(rows):
            prefetch_related_objects(page, *self.list_prefetch_related)
            yield "".join(self._line(row, may_see_text=may_see_text) for row in page)

    def _line(self, row: Model, *, may_see_text: bool) -> str:
        if not may_see_text:
            self.hide_text(row)
        return csv_line(read(row) for read in self.export_columns.values())


def text_of(payload: Any) -> str:
    """What a person wrote, in the payload of an event; or what stands there for those who may not see it."""
    return str(payload.get("text", "")) if isinstance(payload, dict) else str(payload or "")


def moment(at: Any) -> str:
    """As ISO 8601, empty where there is none."""
    return at.isoformat() if at is not None else ""
