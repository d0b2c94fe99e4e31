from __future__ import annotations

from django.apps import AppConfig


class QueueopsConfig(AppConfig):
    name = "queueops"
    verbose_name = "Queue"
