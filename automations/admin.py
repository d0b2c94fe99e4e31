"""The domain's pages in the console: what customers set up, and what became of every event."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.shortcuts import redirect
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter
from unfold.decorators import display

from automations import delivery_admin as delivery_admin
from automations import pausing, trace
from automations.forms import AccountForm, AutomationForm, PauseActionForm
from automations.models import Account, Automation, Contact, Conversation, Delivery, Event, Workspace
from automations.redaction import without_text
from automations.wording import describe_actions
from queueops import audit, privacy
from queueops.audit import CONSOLE, By
from queueops.audited import AuditedAdmin
from queueops.forms import minutes_field
from queueops.jobs import Lane
from queueops.models import DeadLetter
from queueops.readonly import PeriodFilter, ReadOnlyAdmin, json_block, one_line, two_lines
from queueops.templatetags.queue_console import words

OUTCOME_LABELS = {
    "sent": "success",
    "waiting": "info",
    "processing": "info",
    "retrying": "warning",
    "unconfirmed": "warning",
    "dead": "danger",
}


class LaneFilter(RadioFilter):
    title = "lane"
    parameter_name = "lane"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [(lane.value, lane.value) for lane in Lane]

    def queryset(self, request: Any, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(lane=self.value()) if self.value() else queryset


@admin.register(Workspace)
class WorkspaceAdmin(AuditedAdmin):
    list_display = ("name", "is_vip", "time_zone", "created_at")
    list_filter = ("is_vip",)
    search_fields = ("name",)


@admin.register(Account)
class AccountAdmin(AuditedAdmin):
    """The access token goes in and never comes out: it is not even read from the database here."""

    form = AccountForm
    list_display = ("name_and_id", "workspace", "state", "short_reason", "token_is_set", "token_expires_at")
    list_display_links = ("name_and_id",)
    list_filter = ("status", "workspace")
    list_select_related = ("workspace",)
    search_fields = ("username", "instagram_id")
    autocomplete_fields = ("workspace",)
    actions = ("pause_selected", "resume_selected")
    action_form = PauseActionForm
    readonly_fields = ("token_is_set", "created_at")
    fieldsets = (
        (None, {"fields": ("workspace", "instagram_id", "username")}),
        ("Access", {"fields": ("token_is_set", "new_token", "token_expires_at")}),
        ("Status", {"fields": ("status", "status_reason", "paused_until", "created_at")}),
    )

    def get_queryset(self, request: Any) -> QuerySet[Account]:
        accounts: QuerySet[Account] = super().get_queryset(request)
        has_token = ExpressionWrapper(~Q(token=""), output_field=BooleanField())
        return accounts.defer("token").annotate(has_token=has_token)

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

    @admin.display(description="access token set", boolean=True)
    def token_is_set(self, account: Account) -> bool:
        return bool(getattr(account, "has_token", False))


@admin.register(Automation)
class AutomationAdmin(AuditedAdmin):
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
class ContactAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "instagram_scoped_id", "account", "first_seen_at")
    list_select_related = ("account",)
    search_fields = ("instagram_scoped_id__exact", "username__exact")
    search_help_text = "Instagram-scoped id or username, whole"


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "account", "last_inbound_at")
    list_select_related = ("contact__account",)
    search_fields = ("contact__instagram_scoped_id__exact", "contact__username__exact")
    search_help_text = "Instagram-scoped id or username, whole"

    @admin.display(description="account")
    def account(self, conversation: Conversation) -> str:
        return str(conversation.contact.account)


@admin.register(Event)
class EventAdmin(AuditedAdmin, ReadOnlyAdmin):
    """What happened, and the whole decision about it."""

    list_display = ("received_at", "kind_and_lane", "account_and_person", "short_text", "state", "short_reason")
    list_display_links = ("received_at",)
    list_filter = (
        ("outcome", ChoicesCheckboxFilter),
        ("kind", ChoicesCheckboxFilter),
        LaneFilter,
        ("received_at", PeriodFilter),
    )
    search_fields = ("key__exact", "source_id__exact", "person__exact", "account__exact")
    search_help_text = "Event key, message or comment id, person or account, whole"
    change_form_outer_before_template = "automations/event_decision.html"
    fieldsets = (
        ("Event", {"fields": ("key", "kind", "account", "person", "source_id", "text", "lane")}),
        ("Times", {"fields": ("happened_at", "received_at", "started_at", "finished_at")}),
        ("As it was read", {"fields": ("pretty_payload", "receipt")}),
    )

    def get_queryset(self, request: Any) -> QuerySet[Event]:
        events: QuerySet[Event] = super().get_queryset(request)
        return events.select_related("automation")

    def hide_text(self, row: Event) -> None:
        row.text = row.text and privacy.HIDDEN
        row.payload = privacy.HIDDEN
        row.rules = without_text(row.rules)

    def audit_trail(self, row: Event) -> list[Any]:
        """What people did with the event's dead letters, and decided about its deliveries."""
        letters = DeadLetter.objects.filter(event=row.key).values_list("pk", flat=True)
        about_letters = audit.trail(audit.kind_of(DeadLetter), letters)
        about_deliveries = audit.trail(audit.kind_of(Delivery), row.deliveries.values_list("pk", flat=True))
        return sorted([*about_letters, *about_deliveries], key=lambda entry: entry.number, reverse=True)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.find)
        return [path("by-key/<path:key>/", view, name="automations_event_trace"), *super().get_urls()]

    def find(self, request: Any, key: str) -> Any:
        """To the page of the event with this key, message id or comment id."""
        event = trace.find_event(key) if self.has_view_permission(request) else None
        if event is not None:
            return redirect("admin:automations_event_change", event.pk)
        messages.warning(request, f"Nothing is written about event {key}: it still waits in its lane, or was deleted.")
        return redirect("admin:automations_event_changelist")

    def render_change_form(self, request: Any, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        event: Event = context["original"]
        outcome = event.outcome
        decision = {
            "outcome": outcome,
            "outcome_label": OUTCOME_LABELS.get(outcome, ""),
            "deliveries": event.deliveries.order_by("step", "id"),
        }
        return super().render_change_form(request, {**context, **decision}, *args, **kwargs)

    @admin.display(description="kind", ordering="kind")
    def kind_and_lane(self, event: Event) -> str:
        return two_lines(words(event.kind), event.lane)

    @admin.display(description="account", ordering="account")
    def account_and_person(self, event: Event) -> str:
        return two_lines(event.account, event.person)

    @admin.display(description="text")
    def short_text(self, event: Event) -> str:
        return one_line(event.text)

    @display(description="outcome", ordering="outcome", label=OUTCOME_LABELS)  # type: ignore[untyped-decorator]
    def state(self, event: Event) -> Any:
        return event.outcome, words(event.outcome)

    @admin.display(description="reason")
    def short_reason(self, event: Event) -> str:
        return one_line(event.reason)

    @admin.display(description="payload")
    def pretty_payload(self, event: Event) -> str:
        return json_block(event.payload)
