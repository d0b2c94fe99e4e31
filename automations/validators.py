"""What an automation may hold, checked where people write it: the admin and seed data."""

from __future__ import annotations

import zoneinfo
from typing import Any

from django.core.exceptions import ValidationError

from automations.replies import ActionError, parse_action


def validate_time_zone(value: str) -> None:
    if value not in zoneinfo.available_timezones():
        raise ValidationError(f"“{value}” is not a time zone of the IANA database, such as Europe/Berlin.")


def validate_actions(value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise ValidationError("Actions must be a list with at least one action.")
    for step, action in enumerate(value, start=1):
        try:
            parse_action(action)
        except ActionError as error:
            raise ValidationError(f"Action {step}: {error}") from error
