"""Automations in plain words, for the console."""

from __future__ import annotations

from typing import Any

from automations.action_json import parse_action
from automations.actions import Action, ActionError, Button, DirectMessage, PublicReply, UrlButton


def describe_actions(actions: Any) -> list[str]:
    """One sentence for each action, in the order in which they are sent."""
    return [_describe_value(action) for action in actions] if isinstance(actions, list) else []


def _describe_value(value: Any) -> str:
    try:
        return describe(parse_action(value))
    except ActionError as error:
        return f"Cannot be sent: {error}"


def describe(action: Action) -> str:
    """What the action sends."""
    if isinstance(action, PublicReply):
        texts = " or ".join(f"“{text}”" for text in action.texts)
        return f"Public reply {texts}"
    kind = "Direct message" if isinstance(action, DirectMessage) else "Private reply"
    extras = [f"button “{button.title}” ({_target(button)})" for button in action.buttons]
    if isinstance(action, DirectMessage):
        extras += [f"quick reply “{reply.title}” ({reply.payload})" for reply in action.quick_replies]
    return f"{kind} “{action.text}”" + (f" with {', '.join(extras)}" if extras else "")


def _target(button: Button) -> str:
    return button.url if isinstance(button, UrlButton) else button.payload
