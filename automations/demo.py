"""The demo data: what a newcomer sees working, and what every check relies on. Safe to write again and again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import transaction
from django.db.models import Q

from automations.models import Account, Automation, Workspace
from queueops import api_tokens

WORKSPACE = "Demo Shop"
ACCOUNTS = {"17841456778752687": "demo.shop", "17841405726653026": "demo.studio"}
TOKEN = "demo-token"  # noqa: S105 - the fake Graph API takes any
USER = "admin"
API_USER = "demo-api"
API_TOKEN = "demo"  # noqa: S105 - its name
API_PERMISSIONS = (
    ("queueops", "view_console"),
    ("queueops", "view_deadletter"),
    ("queueops", "retry_deadletter"),
    ("queueops", "bulk_retry_deadletter"),
    ("queueops", "see_text"),
    ("automations", "view_event"),
)

Trigger = Automation.Trigger
LINK_ASKED_FOR = "Here is the link you asked for: https://example.com/offer"


@dataclass(frozen=True, slots=True)
class DemoRule:
    name: str
    trigger: Trigger
    keywords: tuple[str, ...]
    actions: tuple[dict[str, Any], ...]

    @property
    def match(self) -> Automation.Match:
        return Automation.Match.CONTAINS if self.keywords else Automation.Match.ANY


def _dm(text: str) -> dict[str, Any]:
    return {"type": "dm", "text": text}


RULES = (
    DemoRule(
        "Greeting",
        Trigger.DM,
        ("hello", "hi"),
        (
            {
                **_dm("Hi! Want the link?"),
                "quick_replies": [
                    {"title": "Yes, send it", "payload": "FLOW_42_STEP_2_YES"},
                    {"title": "No thanks", "payload": "FLOW_42_STEP_2_NO"},
                ],
            },
        ),
    ),
    DemoRule("Offer", Trigger.DM, ("link", "price"), (_dm("Here you go: https://example.com/offer"),)),
    DemoRule("Yes, send it", Trigger.PAYLOAD, ("FLOW_42_STEP_2_YES",), (_dm("On its way: https://example.com/offer"),)),
    DemoRule("Story price", Trigger.STORY_REPLY, ("price",), (_dm("Our prices: https://example.com/prices"),)),
    DemoRule("Story mention", Trigger.STORY_MENTION, (), (_dm("Thanks for the mention!"),)),
    DemoRule(
        "Comment link",
        Trigger.COMMENT,
        ("link", "price"),
        ({"type": "private_reply", "text": LINK_ASKED_FOR}, {"type": "public_reply", "texts": ["Sent you a DM!"]}),
    ),
    DemoRule("Live link", Trigger.LIVE_COMMENT, ("link",), ({"type": "private_reply", "text": LINK_ASKED_FOR},)),
)


def seed(further_accounts: Iterable[str] = ()) -> list[str]:
    """Workspace, accounts and rules; the Instagram ids of the accounts that now have the demo rules."""
    usernames = {**ACCOUNTS, **{account: f"demo.{account}" for account in further_accounts if account not in ACCOUNTS}}
    with transaction.atomic():
        workspace, _ = Workspace.objects.get_or_create(name=WORKSPACE)
        for instagram_id, username in usernames.items():
            account, _ = Account.objects.get_or_create(
                instagram_id=instagram_id,
                defaults={"workspace": workspace, "username": username, "token": TOKEN},
            )
            _seed_rules(account)
    return list(usernames)


def _seed_rules(account: Account) -> None:
    known = set(account.automations.values_list("name", flat=True))
    for rule in RULES:
        if rule.name in known:
            continue  # somebody may have changed it: theirs stays
        automation = Automation(
            account=account,
            name=rule.name,
            trigger=rule.trigger,
            match=rule.match,
            keywords=list(rule.keywords),
            actions=list(rule.actions),
        )
        automation.full_clean()
        automation.save()


def seed_user() -> str:
    """The demo administrator `admin` / `admin`, for machines where DEBUG is on; answers the API key."""
    user, created = get_user_model().objects.get_or_create(
        username=USER, defaults={"is_staff": True, "is_superuser": True}
    )
    if created:
        user.set_password(USER)
        user.save(update_fields=["password"])
    return api_tokens.ensure(user, API_TOKEN)


def seed_api_user() -> str:
    """A user for the API alone, who cannot log in and may do what the API offers; answers the API key."""
    user, created = get_user_model().objects.get_or_create(username=API_USER)
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
    permissions = Q(pk__in=[])
    for app, codename in API_PERMISSIONS:
        permissions |= Q(content_type__app_label=app, codename=codename)
    user.user_permissions.set(Permission.objects.filter(permissions))
    return api_tokens.ensure(user, API_TOKEN)
