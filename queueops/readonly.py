"""Admin pages that show and never change, over tables that may be huge."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.paginator import Paginator
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, RangeDateTimeFilter

from queueops import privacy
from queueops.templatetags.queue_console import pretty_json

MOST_COUNTED = 10_000


def one_line(text: str) -> str:
    """A cell that shows the beginning of a long text, all of it under the pointer."""
    return format_html('<span class="cad-one-line" title="{}">{}</span>', text, text or "-")


def two_lines(text: str, note: str) -> str:
    """A cell with a second, fainter line."""
    return format_html('<span class="cad-two-lines">{}<br><span class="cad-note">{}</span></span>', text or "-", note)


def block(text: str) -> str:
    """A long text as it was written: line breaks, spaces and all."""
    return format_html('<pre class="cad-pre">{}</pre>', text)


def json_block(value: Any) -> str:
    return block(pretty_json(value)) if value is not None else "-"


class CappedPaginator(Paginator):  # type: ignore[type-arg] # generic in the stubs only
    """Counts no further than MOST_COUNTED: counting every row of a huge table takes longer than showing the page."""

    template_name = "queueops/pagination_capped.html"
    most = MOST_COUNTED

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[: self.most].count())

    @property
    def is_capped(self) -> bool:
        return self.count >= self.most


class RecentValuesFilter(AllValuesCheckboxFilter):  # type: ignore[misc] # Unfold ships no types
    """Offers the values of the latest MOST_COUNTED rows: looking at every row takes longer than showing the page."""

    def __init__(self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        recent = model.objects.order_by("-pk").values(field.name)[:MOST_COUNTED]
        self.lookup_choices = sorted({row[field.name] for row in recent.iterator()})


class PeriodFilter(RangeDateTimeFilter):  # type: ignore[misc] # Unfold ships no types
    """From and to, each a date with or without a time. What cannot be read does not narrow."""

    def queryset(self, request: Any, queryset: Any) -> Any:
        period = {"gte": self._moment("from", "00:00:00"), "lte": self._moment("to", "23:59:59")}
        return queryset.filter(**{f"{self.field_path}__{end}": at for end, at in period.items() if at is not None})

    def _moment(self, end: str, when_no_time: str) -> datetime | None:
        day = self.used_parameters.get(f"{self.parameter_name}_{end}_0") or ""
        time = self.used_parameters.get(f"{self.parameter_name}_{end}_1") or when_no_time
        try:
            return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=timezone.get_current_timezone())
        except ValueError:
            return None


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc] # Unfold ships no types
    """No add, change or delete: rows are made and ended by the system itself."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_filter_submit = True
    actions: Any = None

    def hide_text(self, row: Any) -> None:
        """Take what people wrote out of the row, which is about to be shown to somebody who may not see it."""

    def get_object(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        row = super().get_object(request, *args, **kwargs)
        if row is not None and not privacy.may_see_text(request.user):
            self.hide_text(row)
        return row

    def get_changelist_instance(self, request: Any) -> Any:
        changelist = super().get_changelist_instance(request)
        if not privacy.may_see_text(request.user):
            changelist.result_list = list(changelist.result_list)
            for row in changelist.result_list:
                self.hide_text(row)
        return changelist

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return False
