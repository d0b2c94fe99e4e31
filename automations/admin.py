"""The domain's pages in the console: what customers set up, and what became of every event."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter
from unfold.decorators import display

from automations import access, pausing
from automations import delivery_admin as delivery_admin
from automations.access import OfAccounts, OfTenants
from automations.exported import EVENT_COLUMNS
from automations.forms import AccountForm, AutomationForm, PauseActionForm
from automations.models import Account, Automation, Contact, Conversation, Delivery, Event, Workspace
from automations.redaction import attempts_without_quotes, without_text
from automations.rehearsal_admin import RehearsalPages
from automations.replay import UNANSWERED
from automations.replay_admin import ReplayPages
from automations.why_admin import OUTCOME_CLASSES, WhyPages
from automations.wording import describe_actions
from queueops import audit, privacy
from queueops.audit import CONSOLE, By
from queueops.audited import AuditedAdmin
from queueops.csv_export import ExportedAdmin
from queueops.filters import WholeValueFilter
from queueops.forms import minutes_field
from queueops.jobs import Lane
from queueops.models import DeadLetter
from queueops.readonly import PeriodFilter, ReadOnlyAdmin, json_block, label, one_line, two_lines
from queueops.templatetags.queue_console import words


class LaneFilter(RadioFilter):
    title = "lane"
    parameter_name = "lane"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [(lane.value, lane.value) for lane in Lane]

    def queryset(self, request: Any, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(lane=self.value()) if self.value() else queryset


@admin.register(Workspace)
class WorkspaceAdmin(AuditedAdmin):
    """What is done to a workspace is done to each of its accounts: it takes all of them."""

    list_display = ("name", "is_vip", "time_zone", "created_at")
    list_filter = ("is_vip",)
    search_fields = ("name",)

    def get_queryset(self, request: Any) -> QuerySet[Workspace]:
        workspaces: QuerySet[Workspace] = super().get_queryset(request)
        return access.visible_workspaces(workspaces, request.user)

    def has_change_permission(self, request: Any, obj: Workspace | None = None) -> bool:
        return bool(super().has_change_permission(request, obj)) and access.sees_all_of(request.user, obj)

    def has_delete_permission(self, request: Any, obj: Workspace | None = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and access.sees_all_of(request.user, obj)

    def get_deleted_objects(self, objs: Any, request: Any) -> Any:
        """For the page that asks: it would name the accounts that go, too."""
        if all(access.sees_all_of(request.user, workspace) for workspace in objs):
            return super().get_deleted_objects(objs, request)
        return [], {}, {"accounts that you do not see"}, []


@admin.register(Account)
class AccountAdmin(OfAccounts, AuditedAdmin):
    """The access token goes in and never comes out: it is not even read from the database here."""

    account_path = "pk"
    audited_values = ("limited_to",)
    form = AccountForm
    list_display = ("name_and_id", "workspace", "state", "short_reason", "token_is_set", "token_expires_at")
    list_display_links = ("name_and_id",)
    list_filter = ("status", ("workspace", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("workspace",)
    search_fields = ("username", "instagram_id")
    autocomplete_fields = ("workspace",)
    actions = ("pause_selected", "resume_selected")
    action_form = PauseActionForm
    readonly_fields = ("token_is_set", "created_at")
    fieldsets = (
        (None, {"fields": ("workspace", "instagram_id", "username")}),
        ("Access", {"fields": ("token_is_set", "new_token", "token_expires_at", "limited_to")}),
        ("Status", {"fields": ("status", "status_reason", "paused_until", "created_at")}),
    )

    def get_queryset(self, request: Any) -> QuerySet[Account]:
        accounts: QuerySet[Account] = super().get_queryset(request)
        has_token = ExpressionWrapper(~Q(token=""), output_field=BooleanField())
        return accounts.defer("token").annotate(has_token=has_token)

    def get_form(self, request: Any, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        return type("FormOfUser", (form,), {"user": request.user})

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """The token never comes out: not by asking how it begins (`?token__startswith=`) either."""
        return not lookup.startswith("token__") and bool(super().lookup_allowed(lookup, value, request))

    @admin.display(description="account", ordering="username")
    def name_and_id(self, account: Account) -> str:
        return two_lines(str(account), account.instagram_id)

    @display(  # type: ignore[untyped-decorator] # Unfold ships no types
        description="status",
        ordering="status",
        label={"active": "success", "paused": "warning", "needs its owner": "danger"},
    )
    def state(self, account: Account) -> str:
        return account.get_status_display()

    def has_pause_permission(self, request: Any) -> bool:
        return bool(request.user.has_perm("automations.pause_account"))

    @admin.action(description="Pause selected accounts", permissions=["pause"])
    def pause_selected(self, request: Any, accounts: QuerySet[Account]) -> None:
        minutes = minutes_field().clean(request.POST.get("minutes"))
        n = pausing.pause(accounts, By(request.user, CONSOLE, request.POST.get("reason", "").strip()), minutes)
        end = f" for {minutes} minutes" if minutes else ""
        self.message_user(request, f"{n} account{'' if n == 1 else 's'} paused{end}: events wait, and are still taken.")

    @admin.action(description="Resume selected accounts", permissions=["pause"])
    def resume_selected(self, request: Any, accounts: QuerySet[Account]) -> None:
        n = pausing.resume(accounts, By(request.user, CONSOLE, request.POST.get("reason", "").strip()))
        self.message_user(request, f"{n} account{'' if n == 1 else 's'} resumed: what waited goes on.")

    @admin.display(description="why")
    def short_reason(self, account: Account) -> str:
        until = account.paused_until
        if until is None or until <= timezone.now():
            return one_line(account.status_reason)
        return two_lines(one_line(account.status_reason), f"paused until {until:%Y-%m-%d %H:%M} UTC")

    @admin.display(description="limited to")
    def limited_to(self, account: Account) -> str:
        """For those who may look and not change; the form has a field of this name."""
        return ", ".join(group.name for group in account.groups.all()) or "nobody: everybody sees it"

    @admin.display(description="access token set", boolean=True)
    def token_is_set(self, account: Account) -> bool:
        return bool(getattr(account, "has_token", False))


@admin.register(Automation)
class AutomationAdmin(OfAccounts, RehearsalPages, AuditedAdmin):
    account_path = "account"
    form = AutomationForm
    list_display = ("name", "account", "trigger", "matches", "priority", "is_active")
    list_filter = (("trigger", ChoicesCheckboxFilter), "is_active")
    list_filter_submit = True
    list_select_related = ("account",)
    search_fields = ("name", "account__username", "account__instagram_id")
    autocomplete_fields = ("account",)
    readonly_fields = ("preview", "created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("account", "name", "is_active")}),
        ("When", {"fields": ("trigger", "media_id", "match", "keywords", "priority")}),
        ("Then", {"fields": ("preview", "actions")}),
        ("Dates", {"fields": ("created_at", "updated_at")}),
    )

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "account":
            kwargs["queryset"] = access.visible(Account.objects.all(), request.user, "pk")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description="answers to")
    def matches(self, automation: Automation) -> str:
        words = ", ".join(str(word) for word in automation.keywords) if automation.match != "any" else "anything"
        return f"{words[:60]} on {automation.media_id}" if automation.media_id else words[:60]

    @admin.display(description="what is sent, as saved")
    def preview(self, automation: Automation) -> str:
        sentences = [(sentence,) for sentence in describe_actions(automation.actions)]
        if not sentences:
            return "nothing yet"
        return format_html('<ol class="cad-steps">{}</ol>', format_html_join("", "<li>{}</li>", sentences))


@admin.register(Contact)
class ContactAdmin(OfAccounts, ReadOnlyAdmin):
    account_path = "account"
    list_display = ("__str__", "instagram_scoped_id", "account", "first_seen_at")
    list_prefetch_related = ("account",)
    sortable_by = ("first_seen_at",)
    search_fields = ("instagram_scoped_id__exact", "username__exact")
    search_help_text = "Instagram-scoped id or username, whole"


@admin.register(Conversation)
class ConversationAdmin(OfAccounts, ReadOnlyAdmin):
    account_path = "contact__account"
    text_fields = {"state": privacy.masked}
    list_display = ("__str__", "account", "last_inbound_at")
    list_prefetch_related = ("contact__account",)
    sortable_by = ("last_inbound_at",)
    search_fields = ("contact__instagram_scoped_id__exact", "contact__username__exact")
    search_help_text = "Instagram-scoped id or username, whole"

    @admin.display(description="account")
    def account(self, conversation: Conversation) -> str:
        return str(conversation.contact.account)


@admin.register(Event)
class EventAdmin(OfTenants, WhyPages, ReplayPages, AuditedAdmin, ExportedAdmin):
    """What happened, and why what went out did, or did not."""

    tenant_path = "account"
    text_fields = {
        "text": privacy.masked,
        "payload": privacy.masked,
        "rules": without_text,
        "reason": privacy.without_quotes,
        "attempts": attempts_without_quotes,
    }
    list_display = ("received", "kind_and_lane", "account_and_person", "short_text", "state", "short_reason")
    list_display_links = ("received",)
    sortable_by = ("received",)
    indexed = (frozenset({"outcome"}), frozenset({"account"}))
    list_prefetch_related = ("automation",)
    list_filter = (
        ("outcome", ChoicesCheckboxFilter),
        ("kind", ChoicesCheckboxFilter),
        ("account", WholeValueFilter),
        LaneFilter,
        ("received_at", PeriodFilter),
    )
    search_fields = ("key__exact", "source_id__exact", "person__exact", "account__exact")
    search_help_text = "Event key, message or comment id, person or account, whole; or words of the text"
    list_before_template = "automations/event_bar.html"
    export_columns = EVENT_COLUMNS
    export_without = ("payload", "rules", "attempts")
    fieldsets = (
        ("Event", {"fields": ("key", "kind", "account", "person", "source_id", "text", "lane")}),
        ("Times", {"fields": ("happened_at", "received_at", "started_at", "finished_at")}),
        ("As it was read", {"fields": ("pretty_payload", "receipt")}),
    )

    def text_condition(self, request: Any, word: str) -> Q:
        """In what people wrote, for those who may see it."""
        return Q(text__icontains=word) if privacy.may_see_text(request.user) else Q(pk__in=[])

    def audit_trail(self, row: Event) -> list[Any]:
        """What people did with the event and its dead letters, and decided about its deliveries."""
        letters = DeadLetter.objects.filter(event=row.key).values_list("pk", flat=True)
        about_letters = audit.trail(audit.kind_of(DeadLetter), letters)
        about_deliveries = audit.trail(audit.kind_of(Delivery), row.deliveries.values_list("pk", flat=True))
        of_its_own = super().audit_trail(row)
        return sorted([*of_its_own, *about_letters, *about_deliveries], key=lambda entry: entry.number, reverse=True)

    def render_change_form(self, request: Any, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        event = context["original"]
        may = {"may_replay": event.outcome in UNANSWERED and self.has_replay_permission(request)}
        why = self.why_context(request, event)
        return super().render_change_form(request, {**context, **why, **may}, *args, **kwargs)

    @admin.display(description="received", ordering="id")
    def received(self, event: Event) -> Any:
        return event.received_at

    @admin.display(description="kind")
    def kind_and_lane(self, event: Event) -> str:
        return two_lines(words(event.kind), event.lane)

    @admin.display(description="account")
    def account_and_person(self, event: Event) -> str:
        return two_lines(event.account, event.person)

    @admin.display(description="text")
    def short_text(self, event: Event) -> str:
        return one_line(event.text)

    @admin.display(description="outcome")
    def state(self, event: Event) -> str:
        return label(words(event.outcome), OUTCOME_CLASSES.get(event.outcome, ""))

    @admin.display(description="reason")
    def short_reason(self, event: Event) -> str:
        return one_line(event.reason)

    @admin.display(description="payload")
    def pretty_payload(self, event: Event) -> str:
        return json_block(event.payload)
