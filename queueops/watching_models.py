"""What is wrong, and what was counted minute by minute."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from queueops.keys import new_id


class AlertQuerySet(models.QuerySet["Alert"]):
    def standing(self) -> AlertQuerySet:
        """Those that hold now, also the ones that do not hold for long enough yet to be told."""
        return self.filter(closed_at__isnull=True)

    def open(self) -> AlertQuerySet:
        """Those that hold now and have been told, the worst and oldest first."""
        return self.standing().filter(opened_at__isnull=False).order_by("severity", "opened_at", "id")


class Alert(models.Model):
    """One thing that is wrong, from when it was first seen until it is gone (`queueops.alerts`)."""

    class Severity(models.TextChoices):
        PAGE = "page", "now"
        TICKET = "ticket", "today"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64, help_text="Of the condition.")
    subject = models.CharField(max_length=128, blank=True, help_text="The lane, account or setting it is about.")
    severity = models.CharField("act", max_length=16, choices=Severity.choices)
    words = models.CharField("what is wrong", max_length=500)
    first_seen_at = models.DateTimeField("since")
    last_seen_at = models.DateTimeField("last seen")
    gone_since = models.DateTimeField(null=True, blank=True, help_text="Not seen any more since; seen again: empty.")
    opened_at = models.DateTimeField("opened", null=True, blank=True, help_text="Empty: does not hold for long yet.")
    closed_at = models.DateTimeField("resolved", null=True, blank=True)
    notified_at = models.DateTimeField("last told", null=True, blank=True)
    told = models.JSONField(default=dict, blank=True, help_text="What each destination was told last, and when.")
    acknowledged_at = models.DateTimeField("acknowledged", null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("acknowledge_alert", "Can acknowledge alerts")]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "subject"], condition=models.Q(closed_at__isnull=True), name="alert_stands_once"
            )
        ]
        indexes = [models.Index(fields=["closed_at"], name="alert_closed")]

    def __str__(self) -> str:
        return self.words


class AlertRound(models.Model):
    """One row: when somebody last looked at all conditions, and who. Whoever moves it on does the round."""

    looked_at = models.DateTimeField()
    looked_by = models.CharField(max_length=150, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.looked_at} by {self.looked_by}"


class Rollup(models.Model):
    """What was counted in some minutes, and the state at their ends (`queueops.rollups`).

    counts: as `queueops.metrics` names them. What objectives are reckoned from has columns, for SQL to add up.
    """

    span = models.PositiveIntegerField(help_text="How many minutes it stands for: 1, or one of the coarser steps.")
    minute = models.BigIntegerField(help_text="The first of them, in minutes since 1970.")
    minutes = models.PositiveIntegerField(default=1, help_text="Of how many of them anything is known.")
    counts = models.JSONField(default=dict)
    state = models.JSONField(default=dict, help_text="Numbers of that instant; in coarser rows the worst.")
    met = models.PositiveIntegerField(default=0, help_text="Events that were answered within the objective.")
    missed = models.PositiveIntegerField(default=0, help_text="Those answered later, and those given up.")
    unexplained = models.BigIntegerField(null=True, help_text="Empty: not known at that time.")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["span", "minute"], name="rollup_once")]

    def __str__(self) -> str:
        return f"{self.span} min from {self.minute}"
