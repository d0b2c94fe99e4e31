"""What people did here, and the keys that open the API in their names."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


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
