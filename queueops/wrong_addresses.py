"""Lists and forms that are asked for what cannot be: people mistype addresses, and programs try everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import ModelAdmin

# By address these never work (a text is no pair of bounds), or keep the database busy for as long as somebody likes.
NEVER_BY_ADDRESS = frozenset({"range", "regex", "iregex"})


class AnyKeyWidget(AutocompleteSelect):
    """Shows a key that is none as nothing chosen. Django's fails on it, before the form can say what is wrong."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        try:
            return super().optgroups(name, value, attr)
        except ValidationError:
            return super().optgroups(name, [], attr)


class Forgiving(ModelAdmin):  # type: ignore[misc] # Unfold ships no types
    """A value that the database does not take leads to the whole list, as Django does it with one it cannot read.

    Django looks at a value's form; that it holds NUL, or names the year 10^20, comes out only when the rows are read.
    """

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            answer: HttpResponse = super().changelist_view(request, extra_context)
        except (DataError, OverflowError):
            if not request.GET:
                raise
            return HttpResponseRedirect(f"{request.path}?{ERROR_FLAG}=1")
        return answer

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        if NEVER_BY_ADDRESS.intersection(lookup.split("__")[1:]):
            return False
        return bool(super().lookup_allowed(lookup, value, request))

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = AnyKeyWidget(db_field, self.admin_site)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
