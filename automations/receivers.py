"""What was saved in the console is live in every process within a second: caches forget, waiting events are told."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver
from django.utils import timezone
from redis.exceptions import RedisError

from automations.cache import EVERYTHING, publish_eviction
from automations.models import Account, Automation, Workspace
from automations.release import is_held, release
from queueops import connections, taking

TAKEN_FROM = "_taken_from"
WAS_HELD = "_was_held"


@receiver(pre_save, sender=Automation)
def automation_about_to_change(sender: type[Automation], instance: Automation, **kwargs: Any) -> None:
    """Note whose rule it was: the account that it is taken from must forget it, too."""
    before = Account.objects.filter(automations=instance.pk).exclude(pk=instance.account_id)
    setattr(instance, TAKEN_FROM, before.values_list("instagram_id", flat=True).first())


@receiver([post_save, post_delete], sender=Automation)
def automation_changed(sender: type[Automation], instance: Automation, **kwargs: Any) -> None:
    # Now, not on commit: with its account or workspace deleted as well there is nobody left to ask then.
    account = Account.objects.filter(pk=instance.account_id).values_list("instagram_id", flat=True).first()
    transaction.on_commit(partial(publish_eviction, account or EVERYTHING))
    taken_from = getattr(instance, TAKEN_FROM, None)
    if taken_from is not None:
        transaction.on_commit(partial(publish_eviction, taken_from))


@receiver([post_save, post_delete], sender=Account)
@receiver([post_save, post_delete], sender=Workspace)
def account_or_workspace_changed(sender: Any, instance: Account | Workspace, **kwargs: Any) -> None:
    transaction.on_commit(everything_changed)


@receiver(pre_save, sender=Account)
def account_about_to_change(sender: type[Account], instance: Account, **kwargs: Any) -> None:
    """Note whether its events are waiting for it."""
    before = Account.objects.filter(pk=instance.pk).values_list("status", "paused_until").first()
    setattr(instance, WAS_HELD, before is not None and is_held(*before, timezone.now()))


@receiver(post_save, sender=Account)
def account_saved(sender: type[Account], instance: Account, **kwargs: Any) -> None:
    if getattr(instance, WAS_HELD, False) and not is_held(instance.status, instance.paused_until, timezone.now()):
        transaction.on_commit(partial(release, instance.instagram_id))


def everything_changed() -> None:
    """What follows from a change that may concern every account."""
    publish_eviction(EVERYTHING)
    renew_vips()


def renew_vips() -> None:
    """Write the VIP workspaces' accounts where the intake looks; while Redis is away, a look-up will (`lookups`)."""
    vips = list(Account.objects.filter(workspace__is_vip=True).values_list("instagram_id", flat=True))
    with contextlib.suppress(RedisError, OSError), connections.client().pipeline() as pipeline:
        pipeline.delete(taking.VIP_KEY)
        if vips:
            pipeline.sadd(taking.VIP_KEY, *vips)
        pipeline.execute()
