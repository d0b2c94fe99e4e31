"""Keys to the API: made, looked up, revoked. Only a key's digest is kept: who reads the database learns no key.

A key opens no more than its user may, and one of the scope `read` does nothing. See docs/adr/0032-api-tokens.md.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied, Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle

from queueops import audit
from queueops.audit import Act, By
from queueops.models import ApiToken

KEY_BYTES = 32
INITIAL_CHARACTERS = 4
USE_NOTED_EVERY = timedelta(minutes=1)
WRONG_PER_MINUTE = 30


def new_key() -> str:
    """256 random bits as text without spaces."""
    return secrets.token_urlsafe(KEY_BYTES)


def derived_key(purpose: str) -> str:
    """A key that this installation makes again from its SECRET_KEY, and nobody else can."""
    return salted_hmac("queueops.api_tokens", purpose, algorithm="sha256").hexdigest()


def keep(token: ApiToken, key: str) -> ApiToken:
    """Save the token as the one that this key belongs to."""
    token.digest, token.begins_with = _digest(key), key[:INITIAL_CHARACTERS]
    token.save()
    return token


def ensure(user: Any, name: str) -> str:
    """The key of the user's token of this name, which may operate; the same at every call until it is revoked."""
    mine = ApiToken.objects.filter(user=user, name=name)
    key = derived_key(f"{name}:{user.pk}:{mine.exclude(revoked_at=None).count()}")
    if not mine.filter(digest=_digest(key)).exists():
        keep(ApiToken(user=user, name=name, scope=ApiToken.Scope.OPERATE), key)
    return key


def revoke(tokens: Iterable[ApiToken], by: By) -> int:
    """From now on their keys open nothing; how many did until now."""
    with transaction.atomic():
        still = ApiToken.objects.filter(pk__in=[token.pk for token in tokens], revoked_at=None)
        targets = [(str(token.pk), str(token)) for token in still.select_for_update()]
        still.update(revoked_at=timezone.now())
        if targets:
            audit.record(Act(by=by, action="revoke", kind=audit.kind_of(ApiToken), targets=targets))
    return len(targets)


def why_closed(token: ApiToken, now: datetime) -> str:
    """Why its key opens nothing, "" when it does."""
    if token.revoked_at is not None:
        return "This API token was revoked. Ask for another one."
    if token.expires_at is not None and token.expires_at <= now:
        return f"This API token expired on {token.expires_at:%Y-%m-%d %H:%M} UTC. Ask for another one."
    if token.user is None or not token.user.is_active:
        return "The user of this API token was deleted or may not log in any more."
    return ""


class WrongKeys(SimpleRateThrottle):
    """How many wrong keys one address may try in a minute and still be told 401; then it is 429."""

    scope = "wrong_keys"

    def get_rate(self) -> str:
        return f"{WRONG_PER_MINUTE}/min"

    def get_cache_key(self, request: Request, view: Any) -> str:
        return f"wrong-keys-{request.META.get('REMOTE_ADDR', '')}"


class ByToken(TokenAuthentication):
    """`Authorization: Token KEY`. Raises PermissionDenied when a token that may only read is to do something."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        try:
            found = super().authenticate(request)
        except AuthenticationFailed:
            _count_wrong_key(request)
            raise
        if found is not None and found[1].scope == ApiToken.Scope.READ and request.method not in SAFE_METHODS:
            raise PermissionDenied("This API token may only read. Use one of the scope “operate”.")
        return found

    def authenticate_credentials(self, key: str) -> tuple[Any, Any]:
        token = ApiToken.objects.select_related("user").filter(digest=_digest(key)).first()
        if token is None:
            raise AuthenticationFailed("Nobody's API token has this key.")
        now = timezone.now()
        if closed := why_closed(token, now):
            raise AuthenticationFailed(closed)
        _note_use(token, now)
        return token.user, token


def _count_wrong_key(request: Request) -> None:
    """Right keys from the same address go on working: one monitor set up wrongly must not shut out all behind it."""
    throttle = WrongKeys()
    if not throttle.allow_request(request, None):  # type: ignore[arg-type] # it looks at no view
        raise Throttled(throttle.wait(), "Too many wrong API tokens came from your address.")


def _note_use(token: ApiToken, now: datetime) -> None:
    before = now - USE_NOTED_EVERY
    if token.last_used_at is None or token.last_used_at < before:
        long_ago = Q(last_used_at=None) | Q(last_used_at__lt=before)
        ApiToken.objects.filter(long_ago, pk=token.pk).update(last_used_at=now)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
