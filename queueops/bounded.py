"""Lists that answer at once however many rows there are, and say how far they looked.

An index answers a list as it opens, one of its filters (`ModelAdmin.indexed`) and a search for a whole id. Everything
else, filters together and words in texts, is looked for among the newest LOOKED_AT rows, of the account or whatever an
index knows, and of the period that is asked for; the page says so, and leads on to those before (`?before=`).
See docs/adr/0035-searching-a-million-rows.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet, UUIDField, prefetch_related_objects
from django.utils import timezone

from queueops import searching
from queueops.keys import time_of
from queueops.searching import MOST_FOUND, key_of_last

LOOKED_AT = 20_000
BEFORE = "before"
OF_TIME = 7  # the version of keys that grow with time


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a list looked, or how much of what it found it shows (is_shown); most: 0 when nothing is left out.

    since: when the oldest of those was made, where their keys tell it. further: the address of what comes before.
    """

    most: int = 0
    since: datetime | None = None
    further: str = ""
    is_shown: bool = False


def newest(rows: QuerySet[Any]) -> Q:
    """The condition that leaves the newest LOOKED_AT of them."""
    oldest = key_of_last(rows.order_by("-pk"), LOOKED_AT)
    return Q() if oldest is None else Q(pk__gte=oldest)


class BoundedChangeList(ChangeList):
    """Of a ModelAdmin with `indexed`, `list_prefetch_related` and `text_condition` (`readonly.ReadOnlyAdmin`)."""

    model_admin: Any
    bounds: Bounds = Bounds()

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        given: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in given.items() if name != BEFORE}

    def get_ordering_field(self, field_name: Any) -> Any:
        """None also for columns that no index has in order, whatever the address asks for."""
        is_sortable = self.sortable_by is None or field_name in self.sortable_by
        return super().get_ordering_field(field_name) if is_sortable else None

    def get_queryset(self, request: Any, exclude_parameters: Any = None) -> Any:
        rows = super().get_queryset(request, exclude_parameters)
        before = self._before()
        if before is not None:
            rows = rows.filter(pk__lt=before)
        term = searching.cleaned(self.query)
        known = searching.known_by(self.root_queryset, self.search_fields, term) if term else None
        if known is not None:
            rows = rows.filter(known)
        has_text = bool(term) and known is None
        if not has_text and self._is_answered_by_an_index(known):
            return rows
        rows = self._among_the_newest(rows, known, before)
        return self._with_text(request, rows, term) if has_text else rows

    def _with_text(self, request: Any, rows: QuerySet[Any], term: str) -> QuerySet[Any]:
        text = searching.by_words(term, lambda word: self.model_admin.text_condition(request, word))
        found = searching.newest_found(rows, text)
        if len(found) >= MOST_FOUND:
            self._note(MOST_FOUND, found[-1], is_shown=True)
        return rows.filter(pk__in=found)

    def _among_the_newest(self, rows: QuerySet[Any], known: Q | None, before: Any) -> QuerySet[Any]:
        base = self.root_queryset.filter(*([known] if known is not None else []))
        for bound in ({"pk__lt": before} if before is not None else {}, *self._periods()):
            base = base.filter(**bound)
        oldest = key_of_last(base.order_by("-pk"), LOOKED_AT)
        if oldest is None:
            return rows
        self._note(LOOKED_AT, oldest)
        return rows.filter(pk__gte=oldest)

    def _is_answered_by_an_index(self, known: Q | None) -> bool:
        """Whether all that narrows the list is one value each of columns that are together in an index."""
        narrowing = self._narrowing()
        if not narrowing:
            return True
        if known is not None or any(len(set(values)) != 1 for values in narrowing.values()):
            return False
        return any(narrowing.keys() <= fields for fields in self.model_admin.indexed)

    def _narrowing(self) -> dict[str, list[str]]:
        """The values of each field that the address asks for, without those of periods."""
        of_periods = {name for spec in self._period_specs() for name in spec.expected_parameters()}
        narrowing: dict[str, list[str]] = {}
        for name, values in self.get_filters_params().items():
            if name not in of_periods and any(values):
                field, _, lookup = name.partition("__")
                whole = values if lookup in {"", "exact"} else [part for value in values for part in value.split(",")]
                # Of any other look-up (`__contains`) no index is known: two values that are not one.
                is_whole = lookup in {"", "exact", "in"}
                narrowing.setdefault(field, []).extend(whole if is_whole else ["", "not whole"])
        return narrowing

    def _periods(self) -> list[dict[str, Any]]:
        return [spec.bounds_of_keys() for spec in self._period_specs()]

    def _period_specs(self) -> list[Any]:
        return [spec for spec in self.filter_specs if hasattr(spec, "bounds_of_keys")]

    def apply_select_related(self, qs: Any) -> Any:
        """Joins nothing: SQLite would begin with the smallest table, PostgreSQL join the rows of the pages before."""
        return qs

    def get_results(self, request: Any) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        prefetch_related_objects(self.result_list, *self.model_admin.list_prefetch_related)
        most = self.paginator.count
        if most >= getattr(self.paginator, "most", most + 1) and not self.bounds.most and self._is_newest_first():
            self._note(most, self.queryset.values_list("pk", flat=True)[most - 1], is_shown=True)

    def _is_newest_first(self) -> bool:
        """Whether what comes after the last row are those with lesser keys."""
        narrowing = self._narrowing()
        for field in self.queryset.query.order_by:
            if field in {"-pk", f"-{self._key.name}"}:
                return True
            if len(set(narrowing.get(field.lstrip("-"), ()))) != 1:
                return False
        return False

    def _note(self, most: int, oldest: Any, is_shown: bool = False) -> None:
        is_of_time = isinstance(self._key, UUIDField) and oldest.version == OF_TIME
        since = time_of(oldest, timezone.now()) if is_of_time else None
        self.bounds = Bounds(most, since, str(self.get_query_string({BEFORE: oldest})), is_shown)

    @property
    def _key(self) -> Any:
        return self.lookup_opts.pk

    def _before(self) -> Any:
        text = self.params.get(BEFORE)
        try:
            return self._key.to_python(text) if text else None
        except ValidationError as error:
            raise IncorrectLookupParameters(error) from error
