"""Cache invalidation, and nothing else: what was saved in the console is live in every process within a second."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from redis.exceptions import RedisError

from automations.cache import EVERYTHING, publish_eviction
from automations.models import Account, Automation, Workspace
from queueops import connections, dispatch


@receiver([post_save, post_delete], sender=Automation)
def automation_changed(sender: type[Automation], instance: Automation, **kwargs: Any) -> None:
    # Now, not on commit: with its account or workspace deleted as well there is nobody left to ask then.
    account = Account.objects.filter(pk=instance.account_id).values_list("instagram_id", flat=True).first()
    transaction.on_commit(partial(publish_eviction, account or EVERYTHING))


@receiver([post_save, post_delete], sender=Account)
@receiver([post_save, post_delete], sender=Workspace)
def account_or_workspace_changed(sender: Any, instance: Account | Workspace, **kwargs: Any) -> None:
    transaction.on_commit(_everything_changed)


def _everything_changed() -> None:
    publish_eviction(EVERYTHING)
    with contextlib.suppress(RedisError, OSError):
        publish_vips()


def publish_vips() -> None:
    """Write the VIP workspaces' accounts where the intake looks. Raises RedisError while Redis is away."""
    vips = list(Account.objects.filter(workspace__is_vip=True).values_list("instagram_id", flat=True))
    with connections.client().pipeline() as pipeline:
        pipeline.delete(dispatch.VIP_KEY)
        if vips:
            pipeline.sadd(dispatch.VIP_KEY, *vips)
        pipeline.execute()
