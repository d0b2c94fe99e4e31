from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import register

from webhooks.checks import instagram_is_configured


class WebhooksConfig(AppConfig):
    name = "webhooks"

    def ready(self) -> None:
        register(instagram_is_configured)
