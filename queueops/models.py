"""Dead letters, with all that is needed to understand and retry them; and what the database tier holds and counts."""

from __future__ import annotations

from datetime import datetime

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
            ("bulk_retry_deadletter", "Can retry many dead letters at once"),
            ("discard_deadletter", "Can discard dead letters"),
        ]

    def __str__(self) -> str:
        return f"{self.kind or self.func} {self.source_id or self.event}: {self.error}"


class FallbackJobQuerySet(models.QuerySet["FallbackJob"]):
    def free(self, now: datetime) -> FallbackJobQuerySet:
        """Those that no worker holds and nobody is moving into Redis."""
        unheld = models.Q(lease_until__isnull=True) | models.Q(lease_until__lt=now)
        return self.filter(unheld, moving=False)

    def claimable(self, now: datetime) -> FallbackJobQuerySet:
        """Those that a worker may run now."""
        return self.free(now).filter(error="", run_after__lte=now)


class FallbackJob(models.Model):
    """One job that Redis could not take. Its key grows with time and gives the order within its lane.

    It leaves by being finished, or by being moved into Redis; one that was given up (`error`) waits for the move, so
    that operators find it where all dead jobs are.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.CharField("job id", max_length=64, unique=True, help_text="The event's key.")
    lane = models.CharField(max_length=16, choices=DeadLetter.LaneName.choices)
    tenant = models.CharField(max_length=64, blank=True)
    func = models.CharField("function", max_length=200)
    data = models.BinaryField(help_text="Function and arguments, byte for byte what Redis would hold.")
    attempts = models.PositiveIntegerField(default=0)
    run_after = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=500, blank=True, help_text="Why it was given up.")
    lease_until = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=64, blank=True, help_text="The claim that holds it.")
    moving = models.BooleanField(default=False, help_text="Redis may hold it already: no worker may run it from here.")
    created_at = models.DateTimeField(default=timezone.now)

    objects = FallbackJobQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["lane", "id"], name="fallback_order")]

    def __str__(self) -> str:
        return f"{self.func} {self.job}"


class FallbackCount(models.Model):
    """The ledger's counts of what was taken and finished outside Redis. `ignored:<name>` is one kind of `ignored`."""

    name = models.CharField(primary_key=True, max_length=100)
    n = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.n}"


class FallbackKept(models.Model):
    """What nobody could use, until it can be shown with the rest: `raw` is compressed (zlib)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    reason = models.CharField(max_length=200)
    raw = models.BinaryField()
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.reason


class Console(models.Model):  # noqa: DJ008 - it has no rows
    """No table: gives the console page its place and its permission in the admin."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("view_console", "Can see the queue console"),
            ("see_text", "Can see what people wrote"),
            ("pause_lane", "Can pause and resume lanes"),
            ("switch_mode", "Can switch the mode"),
        ]
        verbose_name = "console"
        verbose_name_plural = "console"


class AuditEntry(models.Model):
    """What a person did: written once by `queueops.audit`, never changed, each row sealed with the one before it."""

    number = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    who = models.CharField(max_length=150, help_text="The user's name at that time.")
    who_id = models.CharField(max_length=64, blank=True)
    through = models.CharField(max_length=16, help_text="console, api or command.")
    action = models.CharField(max_length=64)
    kind = models.CharField(max_length=100, blank=True, help_text="What it touched: the model.")
    count = models.PositiveIntegerField("how many", default=0)
    reason = models.TextField("why", blank=True)
    details = models.JSONField(default=dict)
    # Unique: two rows can never follow the same one.
    previous = models.CharField(max_length=64, unique=True, help_text="The seal of the entry before.")
    seal = models.CharField(max_length=64, help_text="SHA-256 of everything above and of the targets.")

    class Meta:
        ordering = ["-number"]
        default_permissions = ("view",)
        verbose_name_plural = "audit log"
        indexes = [models.Index(fields=["who", "-number"], name="audit_who")]

    def __str__(self) -> str:
        return f"{self.number}: {self.who}, {self.action}"


class AuditTarget(models.Model):
    """One thing that an entry is about, to be found by it."""

    entry = models.ForeignKey(AuditEntry, on_delete=models.PROTECT, related_name="targets")
    key = models.CharField(max_length=64)
    name = models.CharField(max_length=200, blank=True, help_text="What it was called at that time.")

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["key", "-id"], name="audit_target")]

    def __str__(self) -> str:
        return self.name or self.key
