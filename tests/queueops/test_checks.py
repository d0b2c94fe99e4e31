from __future__ import annotations

from django.test import override_settings

from queueops.checks import settings_without_effect


def test_nothing_is_said_while_the_defaults_stand():
    assert settings_without_effect() == []


@override_settings(QUEUE_MAX_WEBHOOKS_PER_MINUTE=2)
def test_a_variable_that_does_nothing_yet_says_so_and_what_to_do():
    said = settings_without_effect()

    assert [(message.id, message.msg) for message in said] == [
        ("queueops.W001", "QUEUE_MAX_WEBHOOKS_PER_MINUTE has no effect yet."),
    ]
    assert "without that limit" in said[0].hint
