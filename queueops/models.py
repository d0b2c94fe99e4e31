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
    fingerprint = models.CharField(max_length=32, blank=True, help_text="What it has in common with others: a cause.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="From then on a retry sends nothing any more.")
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
            models.Index(fields=["person"], name="letter_person"),
            models.Index(fields=["source_id"], name="letter_source"),
            models.Index(fields=["fingerprint", "status", "-id"], name="letter_fingerprint"),
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
        indexes = [
            models.Index(fields=["key", "-id"], name="audit_target"),
            models.Index(fields=["name"], name="audit_target_name"),
        ]

    def __str__(self) -> str:
        return self.name or self.key


class ApiToken(models.Model):
    """A key to the API, in its user's name. The key itself is nowhere: `digest` is what it is found by."""

    class Scope(models.TextChoices):
        READ = "read", "read: look at everything that the user may see"
        OPERATE = "operate", "operate: also do what the user may do"

    name = models.CharField(max_length=100, help_text="What it is for: the monitor, the script, the person.")
    # Without a user, once that is deleted, it opens nothing and stays to be read about.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    scope = models.CharField(max_length=16, choices=Scope.choices, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256 of the key, in hex.")
    begins_with = models.CharField(max_length=8, editable=False, help_text="The key's first characters.")
    created_at = models.DateTimeField("made", default=timezone.now, editable=False)
    last_used_at = models.DateTimeField("last used", null=True, editable=False, help_text="Within a minute.")
    expires_at = models.DateTimeField("expires", null=True, blank=True, help_text="Empty: never. UTC.")
    revoked_at = models.DateTimeField("revoked", null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        default_permissions = ("add", "view")
        permissions = [("revoke_apitoken", "Can revoke API tokens")]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.begins_with}…)"


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
