"""Admin pages that show and never change, over tables that may be huge."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import datetime
from functools import cache, reduce
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Q, QuerySet, UUIDField
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from unfold.admin import ModelAdmin, checkbox
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, RangeDateTimeFilter

from queueops import privacy, searching
from queueops.bounded import BoundedChangeList
from queueops.keys import bounds_of, possible
from queueops.templatetags.queue_console import pretty_json
from queueops.wrong_addresses import Forgiving

MOST_COUNTED = 5_000
UNREADABLE = "These filters cannot be read: go back to the list, and begin from there."


# Stands for a row's key.
KEY = "00000000-0000-0000-0000-000000000000"


@cache
def _checkbox() -> str:
    return str(checkbox.render(ACTION_CHECKBOX_NAME, KEY))


def label(text: str, look: str = "") -> str:
    """A status as a label. look: `cad-good`, `cad-warn`, `cad-bad`, "" where there is nothing to judge."""
    return format_html('<span class="cad-label {}">{}</span>', look, text)


def one_line(text: str) -> str:
    """A cell that shows the beginning of a long text, all of it under the pointer."""
    return format_html('<span class="cad-one-line" title="{}">{}</span>', text, text or "-")


def two_lines(text: str, note: str) -> str:
    """A cell with a second, fainter line."""
    return format_html('<span class="cad-two-lines">{}<br><span class="cad-note">{}</span></span>', text or "-", note)


def block(text: str) -> str:
    """A long text as it was written: line breaks, spaces and all. It takes the focus, for the arrow keys to move it."""
    return format_html('<pre class="cad-pre" tabindex="0">{}</pre>', text)


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
        values = distinct_of_latest(model_admin.get_queryset(request), field.name)
        self.lookup_choices = sorted(value for (value,) in values)


def distinct_of_latest(rows: Any, *fields: str) -> list[tuple[Any, ...]]:
    """What the latest MOST_COUNTED rows have in these fields, each once."""
    latest = rows.order_by("-pk").values_list(*fields)[:MOST_COUNTED]
    # The ORM cannot make the values of a slice distinct but by looking up each row a second time.
    sql, parameters = latest.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT latest.* FROM ({sql}) AS latest", parameters)  # noqa: S608
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


class PeriodFilter(RangeDateTimeFilter):  # type: ignore[misc] # Unfold ships no types
    """From and to, each a date with or without a time. What cannot be read does not narrow.

    Of the column that a row's key tells as well, where keys grow with time.
    """

    def queryset(self, request: Any, queryset: Any) -> Any:
        return queryset.filter(**{**self._bounds(), **self.bounds_of_keys()})

    def bounds_of_keys(self) -> dict[str, Any]:
        """The period as keys, which grow with time, so that a list in their order is read from there on."""
        if not isinstance(self.field.model._meta.pk, UUIDField):
            return self._bounds()
        return bounds_of(self._moment("from", "00:00:00"), self._moment("to", "23:59:59"))

    def _bounds(self) -> dict[str, datetime]:
        period = {"gte": self._moment("from", "00:00:00"), "lte": self._moment("to", "23:59:59")}
        return {f"{self.field_path}__{end}": at for end, at in period.items() if at is not None}

    def _moment(self, end: str, when_no_time: str) -> datetime | None:
        day = self.used_parameters.get(f"{self.parameter_name}_{end}_0") or ""
        time = self.used_parameters.get(f"{self.parameter_name}_{end}_1") or when_no_time
        try:
            at = datetime.fromisoformat(f"{day} {time}").replace(tzinfo=timezone.get_current_timezone())
        except ValueError:
            return None
        return possible(at)


class ReadOnlyAdmin(Forgiving):
    """No add, change or delete: rows are made and ended by the system itself."""

    paginator = CappedPaginator
    show_full_result_count = False
    # Rendering a row takes longer than reading it.
    list_per_page = 25
    list_filter_submit = True
    actions: Any = None
    # The fields that are together in an index whose order is that of the list (`queueops.bounded`).
    indexed: tuple[frozenset[str], ...] = ()
    # What the rows of a page are shown with.
    list_prefetch_related: tuple[str, ...] = ()

    # Fields that hold what people wrote, each with what is shown of it to somebody who may not see that.
    text_fields: dict[str, Callable[[Any], Any]] = {}

    @admin.display(description=ModelAdmin.action_checkbox.short_description)
    def action_checkbox(self, row: Any) -> str:
        """As Unfold's, rendered once and filled in: each would take a template."""
        return mark_safe(_checkbox().replace(KEY, str(row.pk)))  # noqa: S308 - of our own keys

    def hide_text(self, row: Any) -> None:
        """Take what people wrote out of the row, which is about to be shown to somebody who may not see it."""
        for name in self.text_fields.keys() - row.get_deferred_fields():
            setattr(row, name, self.text_fields[name](getattr(row, name)))

    def get_changelist(self, request: Any, **kwargs: Any) -> Any:
        return BoundedChangeList

    def get_search_results(self, request: Any, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """Narrows nothing: the list itself knows what to search by an index (`queueops.bounded`)."""
        return queryset, False

    def text_condition(self, request: Any, word: str) -> Q:
        """Finds a word in what is no whole id; only in what this user is shown."""
        fields = [field for field in self.search_fields if not field.endswith(searching.EXACT)]
        return reduce(operator.or_, (Q(**{field: word}) for field in fields), Q(pk__in=[]))

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """Whether an address may narrow the list so (`?text__contains=`): not by what the user is not shown."""
        is_text = lookup.partition("__")[0] in self.text_fields
        if is_text and not privacy.may_see_text(request.user):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

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


def all_that_match(model_admin: ReadOnlyAdmin, request: HttpRequest) -> QuerySet[Any]:
    """What the filters of the address leave, on every page of the list.

    Raises PermissionDenied for who may not see the list, and BadRequest for filters that cannot be read.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    try:
        rows: QuerySet[Any] = model_admin.get_changelist_instance(request).queryset
    except IncorrectLookupParameters as error:
        raise BadRequest(UNREADABLE) from error
    return rows
