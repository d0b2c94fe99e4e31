"""Dead letters: jobs that no further attempt will help, kept with all that is needed to understand and retry them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from queueops.keys import new_id


class DeadLetterQuerySet(models.QuerySet["DeadLetter"]):
    def dead(self) -> DeadLetterQuerySet:
        """Those that wait for an operator."""
        return self.filter(status=DeadLetter.Status.DEAD)


class DeadLetter(models.Model):
    """One job that was given up. Retrying or discarding changes its status; nothing deletes its history."""

    class Status(models.TextChoices):
        DEAD = "dead"
        RETRIED = "retried"
        RESOLVED = "resolved"
        DISCARDED = "discarded"

    class LaneName(models.TextChoices):
        HIGH = "high"
        DEFAULT = "default"
        LOW = "low"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event = models.CharField("event key", max_length=64, help_text="The job's id, which is the event's key.")
    func = models.CharField("function", max_length=200)
    payload = models.JSONField(help_text="Everything the job was given; a retry runs it again.")
    lane = models.CharField(max_length=16, choices=LaneName.choices)
    kind = models.CharField(max_length=32, blank=True)
    account = models.CharField(max_length=64, blank=True)
    person = models.CharField(max_length=64, blank=True)
    source_id = models.TextField("message or comment id", blank=True)
    cause_code = models.IntegerField("code", default=0)
    cause_subcode = models.IntegerField("subcode", default=0)
    cause_title = models.CharField("cause", max_length=200, blank=True)
    cause_verdict = models.CharField("verdict", max_length=32, blank=True)
    error = models.CharField(max_length=500, help_text="The error in one line.")
    traceback = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DEAD)
    created_at = models.DateTimeField(default=timezone.now)
    handled_at = models.DateTimeField(null=True, blank=True)
    handled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = DeadLetterQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            # A job whose worker died between this row and Redis runs again and must not leave a second letter.
            models.UniqueConstraint(
                fields=["event"], condition=models.Q(status="dead"), name="one_open_letter_per_event"
            )
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="letter_status"),  # the list as it opens
            models.Index(fields=["account", "-id"], name="letter_account"),
            models.Index(fields=["event"], name="letter_event"),
        ]
        permissions = [
            ("retry_deadletter", "Can retry dead letters"),
            ("discard_deadletter", "Can discard dead letters"),
        ]

    def __str__(self) -> str:
        return f"{self.kind or self.func} {self.source_id or self.event}: {self.error}"


class Console(models.Model):  # noqa: DJ008 - it has no rows
    """No table: gives the console page its place and its permission in the admin."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [("view_console", "Can see the queue console")]
        verbose_name = "console"
        verbose_name_plural = "console"
