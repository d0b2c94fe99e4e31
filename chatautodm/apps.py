from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import import_string


class ChatAutoDMConfig(AppConfig):
    name = "chatautodm"

    def ready(self) -> None:
        """In every process: web server, worker and command."""
        if settings.SENTRY_DSN:
            # By name: who reports nowhere does not pay for the import either.
            import_string("chatautodm.sentry.start")()
