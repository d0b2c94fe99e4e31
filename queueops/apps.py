from __future__ import annotations

from django.apps import AppConfig


class QueueopsConfig(AppConfig):
    name = "queueops"
    verbose_name = "Queue"

    def ready(self) -> None:
        from queueops import alert_conditions, alerts, checks  # noqa: F401, PLC0415 - registers the checks

        alerts.register(*alert_conditions.CONDITIONS)
