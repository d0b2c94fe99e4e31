"""Who may use the console and the API, in the console's own look."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from rest_framework.authtoken.admin import TokenAdmin as DRFTokenAdmin
from rest_framework.authtoken.models import TokenProxy
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from chatautodm import rq_pages as rq_pages
from queueops.audited import AuditedAdmin

for model in (User, Group, TokenProxy):
    admin.site.unregister(model)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedAdmin):  # type: ignore[type-arg,misc] # Unfold ships no types
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, AuditedAdmin):  # type: ignore[misc] # Unfold ships no types
    pass


def _without_the_key(token: Any) -> str:
    return f"API key of {token.user}"


# The admin's own stand-in for a token is called by its key, which pages and the admin's history would then hold.
TokenProxy.__str__ = _without_the_key  # type: ignore[method-assign]


@admin.register(TokenProxy)
class TokenAdmin(DRFTokenAdmin, AuditedAdmin):  # type: ignore[misc] # Unfold ships no types
    """API keys: each is shown once, when it is made. DRF's own admin sees to it that addresses hold none."""

    list_display = ("user", "begins_with", "created")
    list_select_related = ("user",)

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def response_add(self, request: Any, obj: TokenProxy, post_url_continue: str | None = None) -> Any:
        messages.warning(request, f"The key is {obj.key}. Copy it now: it is not shown again.")
        return self.response_post_save_add(request, obj)

    @admin.display(description="begins with")
    def begins_with(self, token: TokenProxy) -> str:
        return f"{token.key[:4]}…"
