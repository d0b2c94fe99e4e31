from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class AutomationsConfig(AppConfig):
    name = "automations"

    def ready(self) -> None:
        # It names models, which exist only from now on.
        import_module("automations.receivers")
        import_module("automations.account_alerts")
        import_module("automations.attention")
        import_module("queueops.visibility").hide(import_module("automations.access").hidden_tenants)
