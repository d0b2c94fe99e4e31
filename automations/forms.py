"""The console's forms: what people type, and what they are told when it cannot be used."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
)

from automations.models import Account, Automation
from queueops.forms import ReasonedActionForm, minutes_field

ACTIONS_HELP = (
    "A list of what is sent, in this order. Types: "
    '{"type": "dm", "text": "…"} with "quick_replies": [{"title": "…", "payload": "…"}] or '
    '"buttons": [{"type": "web_url", "title": "…", "url": "https://…"}]; '
    '{"type": "private_reply", "text": "…"}; {"type": "public_reply", "texts": ["…", "…"]}, of which one is chosen. '
    "Texts may hold {{username}}."
)
KEYWORDS_HELP = "One a line: words, phrases or emoji; for quick replies and postbacks the payloads."
LIMITED_HELP = "Only members of these groups, and superusers, see the account and what belongs to it. None: everybody."
NEW_ACCESS_HELP = "Write it here to set or replace it. It is encrypted at rest and never shown again."


class KeywordsField(forms.CharField):
    """A list of texts, edited one a line; a JSON list of texts is understood, too."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(str(word) for word in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value) or ""
        listed = _json_list_of_texts(text)
        return listed if listed is not None else [line.strip() for line in text.splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class ActionsField(forms.JSONField):
    """JSON, shown indented; where it is broken the error says the line."""

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) and value.strip() else []
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise ValidationError(f"This is not JSON: {error.msg}, {place}.") from error
        except RecursionError as error:
            raise ValidationError("This is nested too deeply to be a list of actions.") from error

    def bound_data(self, data: Any, initial: Any) -> Any:
        return data


class AutomationForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs only
    keywords = KeywordsField(
        required=False, strip=False, help_text=KEYWORDS_HELP, widget=UnfoldAdminTextareaWidget({"rows": 4})
    )
    actions = ActionsField(
        help_text=ACTIONS_HELP, widget=UnfoldAdminTextareaWidget({"rows": 16, "spellcheck": "false"})
    )

    class Meta:
        model = Automation
        fields = ("account", "name", "trigger", "media_id", "match", "keywords", "actions", "priority", "is_active")


class PauseActionForm(ReasonedActionForm):
    """Which action, why, and when a pause ends by itself."""

    minutes = minutes_field()


class AccountForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs only
    """An account as `user` changes it."""

    user: Any
    limited_to = forms.ModelMultipleChoiceField(
        Group.objects.all(), required=False, help_text=LIMITED_HELP, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    new_token = forms.CharField(
        label="New access token",
        required=False,
        help_text=NEW_ACCESS_HELP,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}, render_value=False),
    )

    class Meta:
        model = Account
        fields = (
            "workspace",
            "instagram_id",
            "username",
            "token_expires_at",
            "status",
            "status_reason",
            "paused_until",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None and not self.instance._state.adding:
            self.fields["limited_to"].initial = list(self.instance.groups.all())

    def clean_limited_to(self) -> Any:
        """Who limits an account must remain among those who see it: nobody else could take the limit back."""
        groups = self.cleaned_data["limited_to"]
        if groups and not self.user.is_superuser and not groups.filter(user=self.user.pk).exists():
            raise ValidationError("You are in none of these groups and would not see the account any more: add one.")
        return groups

    def clean_new_token(self) -> str:
        token: str = self.cleaned_data["new_token"]
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise ValidationError("An access token has no spaces, line breaks or accents. Copy it again.")
        return token

    def save(self, commit: bool = True) -> Account:
        """With a new token, an account that needed its owner is active again."""
        if token := self.cleaned_data["new_token"]:
            self.instance.token = token
            if self.instance.status == Account.Status.NEEDS_OWNER:
                self.instance.status, self.instance.status_reason = Account.Status.ACTIVE, ""
        account: Account = super().save(commit)
        return account

    def _save_m2m(self) -> None:
        super()._save_m2m()  # type: ignore[misc] # the stubs do not know it
        self.instance.groups.set(self.cleaned_data["limited_to"])


def _json_list_of_texts(text: str) -> list[str] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(value, list) and all(isinstance(word, str) for word in value)
    return [word.strip() for word in value if word.strip()] if is_list else None
