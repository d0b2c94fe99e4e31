"""Filters of the dead letters' list: whole values, typed or chosen from what is known without a look at the letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, FieldTextFilter

from queueops.models import Cause, DeadLetter
from queueops.readonly import distinct_of_latest

MOST_OFFERED = 100

# The columns of a dead letter that its cause has, too.
OF_CAUSE = {"cause_code": "code", "cause_title": "title", "cause_verdict": "verdict"}


class WholeValueFilter(FieldTextFilter):  # type: ignore[misc] # Unfold ships no types
    """A field to type or paste one value into, which has to be the whole of the column: an index knows it."""

    def __init__(self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str) -> None:
        self.lookup_kwarg = field_path
        self.lookup_val = [value.strip() for value in params.get(field_path, []) if value.strip()]
        super(FieldTextFilter, self).__init__(field, request, params, model, model_admin, field_path)

    def expected_parameters(self) -> list[str]:
        return [self.lookup_kwarg]

    def queryset(self, request: Any, queryset: Any) -> Any:
        return queryset.filter(**{self.field_path: self.lookup_val[0]}) if self.lookup_val else queryset


class CauseValuesFilter(AllValuesCheckboxFilter):  # type: ignore[misc] # Unfold ships no types
    """Offers what the causes have (`models.Cause`), which are few: looking through a million letters takes a second."""

    def __init__(self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        name = OF_CAUSE[field_path]
        self.lookup_choices = list(Cause.objects.order_by(name).values_list(name, flat=True).distinct())


class AutomationFilter(AllValuesCheckboxFilter):  # type: ignore[misc] # Unfold ships no types
    """Offers the automations of the latest letters by the names that they had, and whatever the address asks for."""

    def __init__(self, field: Any, request: Any, params: Any, model: Any, model_admin: Any, field_path: str) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        letters = model_admin.get_queryset(request)
        self._names = _automations(letters, self.value() or [])
        self.lookup_choices = list(self._names)

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        form = self.form_class(
            label=" By automation ",
            name=self.lookup_kwarg,
            choices=list(self._names.items()),
            data={self.lookup_kwarg: self.value()},
        )
        yield {"form": form}


def _automations(letters: QuerySet[DeadLetter], asked: Sequence[str]) -> dict[str, str]:
    """The names, by id: of those asked for, and of the latest letters."""
    named = {key: name or key for key, name in distinct_of_latest(letters, "automation", "automation_name") if key}
    offered = dict(sorted(named.items(), key=lambda one: one[1])[:MOST_OFFERED])
    return {**{key: named.get(key, key) for key in asked}, **offered}
