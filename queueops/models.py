"""Dead letters, with all that is needed to understand and retry them, and what is ordered about many at once.

The package's other tables stand beside it, each by what it knows, and are imported from here.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from queueops.access_models import ApiToken as ApiToken
from queueops.access_models import AuditEntry as AuditEntry
from queueops.access_models import AuditTarget as AuditTarget
from queueops.fallback_models import LANES
from queueops.fallback_models import FallbackCount as FallbackCount
from queueops.fallback_models import FallbackJob as FallbackJob
from queueops.fallback_models import FallbackKept as FallbackKept
from queueops.keys import new_id
from queueops.watching_models import Alert as Alert
from queueops.watching_models import AlertQuerySet as AlertQuerySet
from queueops.watching_models import AlertRound as AlertRound
from queueops.watching_models import Rollup as Rollup


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

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event = models.CharField("event key", max_length=64, help_text="The job's id, which is the event's key.")
    func = models.CharField("function", max_length=200)
    payload = models.JSONField(help_text="Everything the job was given; a retry runs it again.")
    lane = models.CharField(max_length=16, choices=LANES)
    kind = models.CharField(max_length=32, blank=True)
    account = models.CharField(max_length=64, blank=True)
    person = models.CharField(max_length=64, blank=True)
    source_id = models.TextField("message or comment id", blank=True)
    # The database's own defaults: workers of the release before write letters while a new one is rolled out.
    automation = models.CharField("automation id", max_length=64, blank=True, default="", db_default="")
    automation_name = models.CharField(
        "automation", max_length=200, blank=True, default="", db_default="", help_text="Its name when it was given up."
    )
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
    fingerprint = models.CharField(max_length=32, blank=True, help_text="What it has in common with others: a cause.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="From then on a retry sends nothing any more.")
    earlier = models.JSONField(null=True, blank=True, help_text="The attempts before the last, with their tracebacks.")
    edits = models.JSONField(default=list, blank=True, help_text="Who changed the payload when, and what it was.")
    operation = models.ForeignKey(
        "Operation",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="letters",
        db_index=False,
        help_text="Which operation on many letters handled it.",
    )

    # When its account may call again, once somebody asked (`queueops.verdicts`); no column.
    until: datetime | None = None

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
            # The list narrowed by one value, and what a search knows by whole values.
            models.Index(fields=["account", "status", "-id"], name="letter_account_status"),
            models.Index(fields=["kind", "status", "-id"], name="letter_kind"),
            models.Index(fields=["cause_code", "status", "-id"], name="letter_code"),
            models.Index(fields=["cause_title", "status", "-id"], name="letter_title"),
            models.Index(fields=["automation", "status", "-id"], name="letter_automation"),
            models.Index(fields=["person"], name="letter_person"),
            models.Index(fields=["source_id"], name="letter_source"),
            models.Index(fields=["fingerprint", "status", "-id"], name="letter_fingerprint"),
            # The API's list, which has them all by age.
            models.Index(fields=["kind", "-id"], name="letter_kind_by_age"),
            models.Index(fields=["cause_code", "-id"], name="letter_code_by_age"),
            models.Index(fields=["automation", "-id"], name="letter_automation_by_age"),
            # What the causes' page counts, without a look at the rows.
            models.Index(
                fields=["fingerprint", "account"],
                include=["created_at", "expires_at"],
                condition=models.Q(status="dead"),
                name="letter_causes",
            ),
            models.Index(
                fields=["created_at", "fingerprint"], condition=models.Q(status="dead"), name="letter_recent_causes"
            ),
            models.Index(
                fields=["operation", "handled_at"],
                condition=models.Q(operation__isnull=False),
                name="letter_operation",
            ),
        ]
        permissions = [
            ("retry_deadletter", "Can retry dead letters"),
            ("bulk_retry_deadletter", "Can retry many dead letters at once"),
            ("discard_deadletter", "Can discard dead letters"),
            ("edit_deadletter", "Can change what a dead letter's job is given, and retry it"),
        ]

    def __str__(self) -> str:
        return f"{self.kind or self.func} {self.source_id or self.event}: {self.error}"


class FailedAttempt(models.Model):
    """One attempt of a job that is tried again; its dead letter takes it over, should it come to that."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.CharField("job id", max_length=64, help_text="The event's key.")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    error = models.CharField(max_length=500)
    traceback = models.TextField(blank=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["job"], name="failed_attempt_job")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job}: {self.error}"


class Cause(models.Model):
    """What dead letters of one fingerprint have in common, and whether operators are done with it.

    When and how often it was seen is counted from the letters (`queueops.causes`).
    """

    class State(models.TextChoices):
        OPEN = "open"
        RESOLVED = "resolved"

    fingerprint = models.CharField(primary_key=True, max_length=32)
    title = models.CharField(max_length=200)
    func = models.CharField("function", max_length=200, blank=True)
    code = models.IntegerField(default=0)
    subcode = models.IntegerField(default=0)
    verdict = models.CharField(max_length=32, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    first_seen = models.DateTimeField(default=timezone.now)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=150, blank=True, help_text="The user's name at that time.")
    note = models.TextField(blank=True, help_text="How it was resolved.")
    reopened_at = models.DateTimeField(null=True, blank=True, help_text="When a letter came after that.")

    class Meta:
        default_permissions = ("view",)
        permissions = [("resolve_cause", "Can resolve and reopen causes")]

    def __str__(self) -> str:
        return self.title


class CauseCount(models.Model):
    """One row: what the open letters say of each cause, once they are many (`queueops.cause_counts`)."""

    due_at = models.DateTimeField(help_text="When somebody should count next; while one counts, when another may.")
    counted_at = models.DateTimeField(null=True, help_text="Empty: the letters are few, and counted by who looks.")
    counts = models.JSONField(default=dict, help_text="By fingerprint.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"counted at {self.counted_at}"


class Operation(models.Model):
    """One order over many dead letters, carried out by the workers a slice at a time (`queueops.operations`)."""

    class What(models.TextChoices):
        RETRY = "retry"
        DISCARD = "discard"

    class State(models.TextChoices):
        ASKED = "asked"  # waits for a second person
        RUNNING = "running"
        HALTED = "halted"
        CANCELLED = "cancelled"
        DONE = "done"

    UNDER_WAY = (State.ASKED, State.RUNNING, State.HALTED)

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    what = models.CharField(max_length=16, choices=What.choices)
    selection = models.JSONField(default=dict, help_text="Which letters: filters by name (`queueops.selections`).")
    reason = models.TextField("why", blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    asked_by_name = models.CharField("who", max_length=150, help_text="The user's name at that time.")
    through = models.CharField(max_length=16, help_text="console, api or command.")
    needs_consent = models.BooleanField(default=False)
    consented_by = models.CharField(max_length=150, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    canary = models.PositiveIntegerField(default=0, help_text="So many go first, and must end well.")
    canary_passed = models.BooleanField(default=False, help_text="They did, or an operator did not want to wait.")
    pace = models.PositiveIntegerField(default=50, help_text="Letters a second.")
    total = models.PositiveIntegerField(default=0, help_text="How many there were to handle when it began.")
    is_counted = models.BooleanField(default=True, help_text="No: the total is the least; a worker counts them all.")
    done = models.PositiveIntegerField(default=0)
    left_out = models.JSONField(default=dict, help_text="How many were left alone, by the reason.")
    halted_because = models.TextField(blank=True)
    cursor = models.UUIDField(null=True, blank=True, help_text="The last letter looked at.")
    slice = models.JSONField(default=list, help_text="The letters in hand: a worker that dies leaves them here.")
    judged_from = models.DateTimeField(null=True, blank=True, help_text="Deaths of letters handled before do not halt.")
    lease_until = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=64, blank=True, help_text="The turn that holds it.")
    next_at = models.DateTimeField(default=timezone.now, help_text="When the next slice is due.")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        permissions = [("consent_operation", "Can consent to what somebody else wants to discard")]
        indexes = [models.Index(fields=["state", "next_at"], name="operation_due")]

    def __str__(self) -> str:
        return f"{self.what} {self.total} dead letters"


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
