"""Filters of the dead letters' list: whole values, typed or chosen from what is known without a look at the letters."""

from __future__ import annotations

from typing import Any

from unfold.contrib.filters.admin import AllValuesCheckboxFilter, FieldTextFilter

from queueops.models import Cause

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
