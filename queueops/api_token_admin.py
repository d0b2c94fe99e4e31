"""API tokens in the console: made with the key shown once, looked over, revoked."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.widgets import UnfoldAdminTextInputWidget

from queueops import api_tokens, visibility
from queueops.audit import CONSOLE, REASON_CHARACTERS, By
from queueops.audited import AuditedAdmin
from queueops.forms import ReasonedActionForm
from queueops.models import ApiToken
from queueops.readonly import ReadOnlyAdmin, two_lines

LISTING = "admin:queueops_apitoken_changelist"


class ApiTokenForm(forms.ModelForm):  # type: ignore[type-arg] # generic in the stubs only
    """A new token. `maker` is whoever makes it: nobody hands out more than they have themselves."""

    maker: Any
    reason = forms.CharField(
        max_length=REASON_CHARACTERS, label="Why", help_text="For the audit log.", widget=UnfoldAdminTextInputWidget
    )

    class Meta:
        model = ApiToken
        fields = ("name", "user", "scope", "expires_at")

    def clean_user(self) -> Any:
        user = self.cleaned_data["user"]
        if not visibility.may_act_for(self.maker, user):
            raise ValidationError("This user may do more than you: ask somebody who may do as much to make the token.")
        return user

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at is not None and expires_at <= timezone.now():
            raise ValidationError("This is in the past: the key would never open anything. Leave it empty for no end.")
        return expires_at


@admin.register(ApiToken)
class ApiTokenAdmin(AuditedAdmin, ReadOnlyAdmin):
    """Keys to the API. What was made stays to be read about; it is revoked, not deleted."""

    list_display = ("name_and_beginning", "user", "scope", "state", "used", "revoke_button")
    list_display_links = ("name_and_beginning",)
    list_filter = (("scope", ChoicesCheckboxFilter),)
    list_prefetch_related = ("user",)
    search_fields = ("name__icontains", "begins_with__startswith", "user__username__exact")
    search_help_text = "Name, the key's first characters, user"
    actions = ("revoke_selected",)
    action_form = ReasonedActionForm
    change_form_outer_before_template = "queueops/api_token_actions.html"
    form = ApiTokenForm
    fieldsets = (
        ("Whose it is", {"fields": ("name", "user", "scope", "begins_with")}),
        ("How long", {"fields": ("state", "created_at", "last_used_at", "expires_at", "revoked_at")}),
    )
    add_fieldsets = ((None, {"fields": ("name", "user", "scope", "expires_at", "reason")}),)

    def get_fieldsets(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        return type("FormOfMaker", (form,), {"maker": request.user})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = get_user_model().objects.filter(is_active=True).order_by("username")
        kwargs["help_text"] = "The token may do what this user may do, and no more."
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        return self.list_display if self.has_revoke_permission(request) else self.list_display[:-1]

    def get_urls(self) -> list[URLPattern]:
        revoke = self.admin_site.admin_view(self.revoke_one)
        return [path("<int:pk>/revoke/", revoke, name="queueops_apitoken_revoke"), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("queueops.add_apitoken")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("queueops.revoke_apitoken")

    # --- Making ------------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        obj.key = api_tokens.new_key()  # type: ignore[attr-defined] # for the one page that shows it
        api_tokens.keep(obj, obj.key)  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """The page that shows the key, straight away: a redirect would have to keep the key somewhere meanwhile."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API token",
            "token": obj,
            "key": obj.key,  # type: ignore[attr-defined]
            "address": request.build_absolute_uri(reverse("queue-stats")),
        }
        return TemplateResponse(request, "queueops/api_token_made.html", context)

    # --- Revoking ----------------------------------------------------------------------------------------------------

    @admin.action(description="Revoke selected API tokens", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        n = api_tokens.revoke(tokens, By(request.user, CONSOLE, request.POST.get("reason", "")))
        if n:
            messages.success(request, f"{n} API token{'' if n == 1 else 's'} revoked: the keys open nothing any more.")
        else:
            messages.warning(request, "Nothing to do: they were revoked before.")

    def revoke_one(self, request: HttpRequest, pk: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        self.revoke_selected(request, ApiToken.objects.filter(pk=pk))
        return HttpResponseRedirect(reverse(LISTING))

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        may = {"may_revoke": self.has_revoke_permission(request)}
        return super().render_change_form(request, {**context, **may}, *args, **kwargs)

    # --- What is shown -----------------------------------------------------------------------------------------------

    @admin.display(description="name", ordering="name")
    def name_and_beginning(self, token: ApiToken) -> str:
        return two_lines(token.name, f"begins with {token.begins_with}")

    @admin.display(description="state")
    def state(self, token: ApiToken) -> str:
        closed = api_tokens.why_closed(token, timezone.now())
        if closed:
            return two_lines(format_html('<span class="cad-label cad-bad">{}</span>', "closed"), closed)
        until = f"until {token.expires_at:%Y-%m-%d %H:%M} UTC" if token.expires_at else "no end"
        return two_lines(format_html('<span class="cad-label cad-good">{}</span>', "open"), until)

    @admin.display(description="last used", ordering="last_used_at")
    def used(self, token: ApiToken) -> str:
        used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"
        return two_lines(used, f"made {token.created_at:%Y-%m-%d}")

    @admin.display(description="")
    def revoke_button(self, token: ApiToken) -> str:
        """Sends the list's own form, with its reason, to the row's address: a POST that needs no JavaScript."""
        if token.revoked_at is not None:
            return ""
        address = reverse("admin:queueops_apitoken_revoke", args=[token.pk])
        return format_html('<button class="cad-button" type="submit" formaction="{}">Revoke</button>', address)
