"""What ChatAutoDM knows: who automates what, whom it talked to, and what became of every event."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from automations.events import Kind
from automations.secrets import EncryptedTextField
from automations.validators import validate_actions, validate_time_zone
from queueops.keys import new_id


class Workspace(models.Model):
    """A customer of ours: owns accounts and their automations."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=120, unique=True)
    is_vip = models.BooleanField("VIP", default=False, help_text="Its events go one lane up.")
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Account(models.Model):
    """An Instagram professional account that is connected here."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        NEEDS_OWNER = "needs_owner", "needs its owner"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="accounts")
    instagram_id = models.CharField(
        "Instagram user id",
        max_length=64,
        unique=True,
        help_text="`user_id` of GET /me?fields=user_id: the id that webhooks carry. (`id` of /me is another one.)",
    )
    username = models.CharField(max_length=64, blank=True)
    token = EncryptedTextField("access token", blank=True, help_text="Encrypted at rest; never shown again.")
    token_expires_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    status_reason = models.CharField(max_length=300, blank=True)
    paused_until = models.DateTimeField(null=True, blank=True, help_text="Set by Meta's throttling; ends by itself.")
    groups = models.ManyToManyField(Group, through="AccountGroup", related_name="accounts", blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["username"]
        permissions = [("pause_account", "Can pause and resume accounts")]

    def __str__(self) -> str:
        return f"@{self.username}" if self.username else self.instagram_id


class AccountGroup(models.Model):
    """One of the groups that an account is limited to."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="limits")
    # Not with the group: an account that loses its last group would be open to everybody.
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="limits")

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["account", "group"], name="account_limited_once")]

    def __str__(self) -> str:
        return f"{self.account} is limited to {self.group}"


class Automation(models.Model):
    """A rule: what has to happen on which account, and what is then sent, step by step."""

    class Trigger(models.TextChoices):
        DM = "dm", "direct message"
        PAYLOAD = "payload", "quick reply or postback"
        REFERRAL = "referral", "ig.me link or advert"
        STORY_REPLY = "story_reply", "story reply"
        STORY_MENTION = "story_mention", "story mention"
        COMMENT = "comment", "comment"
        LIVE_COMMENT = "live_comment", "live comment"

    class Match(models.TextChoices):
        CONTAINS = "contains", "contains one of the keywords"
        EXACT = "exact", "is exactly one of the keywords"
        ANY = "any", "anything"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="automations")
    name = models.CharField(max_length=120)
    trigger = models.CharField(max_length=16, choices=Trigger.choices)
    media_id = models.CharField("post or story", max_length=64, blank=True, help_text="Empty: any.")
    match = models.CharField(max_length=16, choices=Match.choices, default=Match.CONTAINS)
    keywords = models.JSONField(
        default=list, blank=True, help_text="Words, phrases or emoji; for quick replies and postbacks the payloads."
    )
    actions = models.JSONField(default=list, help_text="What is sent, in this order.", validators=[validate_actions])
    priority = models.IntegerField(default=0, help_text="The higher wins among equally specific rules.")
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["account", "trigger", "-priority", "name"]
        constraints = [models.UniqueConstraint(fields=["account", "name"], name="automation_name_per_account")]
        indexes = [models.Index(fields=["account", "trigger", "is_active"], name="automation_lookup")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.match != self.Match.ANY and not any(str(word).strip() for word in self.keywords or []):
            raise ValidationError({"keywords": "Give at least one keyword, or choose the match “anything”."})


class Contact(models.Model):
    """A person who wrote to or commented on one account (Instagram-scoped ids differ from account to account).

    The key is made of account and Instagram-scoped id (`people.contact_id`).
    """

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="contacts")
    instagram_scoped_id = models.CharField("Instagram-scoped id", max_length=64)
    username = models.CharField(max_length=64, blank=True)
    first_seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-first_seen_at"]
        # The person first: so the index also finds a person whose account nobody named.
        constraints = [models.UniqueConstraint(fields=["instagram_scoped_id", "account"], name="contact_per_account")]
        indexes = [
            models.Index(fields=["-first_seen_at"], name="contact_latest"),
            # Most people never have a name here: only comments tell it.
            models.Index(fields=["username"], condition=~models.Q(username=""), name="contact_username"),
        ]

    def __str__(self) -> str:
        return f"@{self.username}" if self.username else self.instagram_scoped_id


class Conversation(models.Model):
    """The thread with one contact: Meta lets us write until 24 hours after their last message."""

    contact = models.OneToOneField(Contact, on_delete=models.CASCADE, primary_key=True, related_name="conversation")
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    state = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-last_inbound_at"]
        indexes = [models.Index(fields=["-last_inbound_at"], name="conversation_latest")]

    def __str__(self) -> str:
        return f"Conversation with {self.contact}"


class Event(models.Model):
    """One thing that happened on Instagram, and everything that was decided about it."""

    class Outcome(models.TextChoices):
        WAITING = "waiting"
        PROCESSING = "processing"
        RETRYING = "retrying"
        SENT = "sent"
        NO_MATCH = "no_match", "no rule matched"
        SKIPPED = "skipped"
        UNKNOWN_ACCOUNT = "unknown_account", "unknown account"
        UNCONFIRMED = "unconfirmed"
        DEAD = "dead"
        DISCARDED = "discarded"

    FINAL = (
        Outcome.SENT,
        Outcome.NO_MATCH,
        Outcome.SKIPPED,
        Outcome.UNKNOWN_ACCOUNT,
        Outcome.UNCONFIRMED,
        Outcome.DISCARDED,
    )

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    key = models.CharField(max_length=64)
    receipt = models.CharField(max_length=36, help_text="Which delivery of Meta's this row was made for.")
    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value.replace("_", " ")) for kind in Kind])
    lane = models.CharField(max_length=16)
    account = models.CharField("account", max_length=64, help_text="Instagram user id; may be unknown here.")
    person = models.CharField(max_length=64, blank=True)
    source_id = models.TextField("message or comment id")
    text = models.TextField(blank=True)
    payload = models.JSONField(help_text="The event as it was read.")
    outcome = models.CharField(max_length=16, choices=Outcome.choices, default=Outcome.PROCESSING)
    reason = models.CharField(max_length=300, blank=True, help_text="Why it was skipped, or what went wrong last.")
    automation = models.ForeignKey(Automation, null=True, blank=True, on_delete=models.SET_NULL, related_name="events")
    rules = models.JSONField(default=list, help_text="Every rule looked at: matched, or the first failed condition.")
    attempts = models.JSONField(default=list, help_text="Every attempt: when, and how it ended.")
    happened_at = models.DateTimeField(null=True, blank=True, help_text="Meta's own stamp.")
    received_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        permissions = [("replay_event", "Can have events answered that nothing answered")]
        # As a constraint: a unique field of text would get a second index on PostgreSQL, for LIKE, which nobody asks.
        constraints = [models.UniqueConstraint(fields=["key"], name="event_key")]
        indexes = [
            models.Index(fields=["account", "-id"], name="event_account"),
            models.Index(fields=["person", "-id"], name="event_person"),
            models.Index(fields=["outcome", "-id"], name="event_outcome"),
            models.Index(fields=["source_id"], name="event_source"),  # how operators and the API look one up
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.source_id[:40]}"

    @property
    def is_final(self) -> bool:
        return self.outcome in self.FINAL


class Delivery(models.Model):
    """One call to the Graph API: the row is committed before the call, and is the guard against a second one."""

    class Kind(models.TextChoices):
        DM = "dm", "direct message"
        PRIVATE_REPLY = "private_reply", "private reply"
        PUBLIC_REPLY = "public_reply", "public reply"

    class Status(models.TextChoices):
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"
        UNCONFIRMED = "unconfirmed"
        SKIPPED = "skipped"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    # `delivery_once_per_step` begins with it, and is the index.
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    automation = models.ForeignKey(Automation, null=True, on_delete=models.SET_NULL, related_name="deliveries")
    automation_key = models.CharField(max_length=36, help_text="The automation's id, also after it was deleted.")
    step = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    recipient = models.CharField(max_length=255, help_text="Instagram-scoped id, or the comment's id.")
    body = models.JSONField(help_text="What was sent: the request's body.")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.SENDING)
    message_id = models.TextField(blank=True, help_text="Meta's id of what was sent.")
    error = models.JSONField(null=True, blank=True)
    # "private_reply:<comment id>": one private reply per comment ever, across every automation (FACTS section 6).
    # NULL for everything else: of unique values, NULLs may repeat.
    once_key = models.CharField(max_length=300, null=True, blank=True)  # noqa: DJ001
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        permissions = [("settle_delivery", "Can settle unconfirmed deliveries")]
        constraints = [
            models.UniqueConstraint(fields=["event", "automation_key", "step"], name="delivery_once_per_step"),
            models.UniqueConstraint(fields=["once_key"], name="delivery_once_key"),
        ]
        indexes = [models.Index(fields=["status", "-id"], name="delivery_status")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} to {self.recipient}: {self.status}"

    def as_trace(self) -> dict[str, Any]:
        """This delivery as `GET /api/events/{key}` shows it."""
        return {
            "step": self.step,
            "kind": self.kind,
            "status": self.status,
            "message_id": self.message_id or None,
            "error": self.error,
        }
