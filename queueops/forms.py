"""The console's forms of the queue: why, and for how long."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.forms import ActionForm

from queueops.audit import REASON_CHARACTERS

MOST_MINUTES = 31 * 24 * 60


def reason_field(required: bool = True) -> forms.CharField:
    """Why somebody does what they do: for the audit log."""
    look = {"class": "cad-input", "placeholder": "Why, for the audit log", "aria-label": "Why"}
    widget = forms.TextInput(look)
    return forms.CharField(label="", required=required, max_length=REASON_CHARACTERS, widget=widget)


def minutes_field() -> forms.IntegerField:
    """When something ends by itself."""
    look = {"class": "cad-input cad-few", "placeholder": "Minutes, or empty: no end", "aria-label": "Minutes"}
    return forms.IntegerField(
        label="", required=False, min_value=1, max_value=MOST_MINUTES, widget=forms.NumberInput(look)
    )


class ReasonedActionForm(ActionForm):  # type: ignore[misc] # Unfold ships no types
    """Which action, and why."""

    reason = reason_field(required=False)


class ReasonForm(forms.Form):
    """Only why."""

    reason = reason_field()


class SwitchForm(forms.Form):
    """What is set needs a reason, and may have an end; what takes something back has no end."""

    reason = reason_field()
    minutes = minutes_field()

    def __init__(self, data: Any, sets: bool) -> None:
        super().__init__(data)
        if not sets:
            self.fields["reason"].required = False
            del self.fields["minutes"]

    @property
    def seconds(self) -> float | None:
        """From now until the end; None without one."""
        minutes = self.cleaned_data.get("minutes")
        return None if minutes is None else minutes * 60.0
