"""What protects the console and the API: cookies, TLS, content security policy, log-in throttling, request rates."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from chatautodm.environment import boolean, integer

_TLS = not boolean("DEBUG", default=False)

SECURE_HSTS_SECONDS = 31_536_000 if _TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _TLS
SECURE_HSTS_PRELOAD = _TLS
SESSION_COOKIE_SECURE = _TLS
CSRF_COOKIE_SECURE = _TLS
# TLS ends at the proxy in front; a redirect by us would silently stop Meta's deliveries (FACTS section 1).
SECURE_SSL_REDIRECT = False
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SILENCED_SYSTEM_CHECKS = ["security.W008"]  # SECURE_SSL_REDIRECT: see above

# The one inline script in django-rq's lists (docs/adr/0021-content-security-policy.md).
DJANGO_RQ_SCRIPT = "'sha256-1kZe1KRxelr3ptMPsod17Z6BDvbtm4WcufgsZGvsErM='"

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        # Alpine.js, on which Unfold is built, compiles the expressions in its attributes.
        "script-src": [SELF, UNSAFE_EVAL, DJANGO_RQ_SCRIPT],
        # Unfold writes its colours into a style element, and both it and Alpine.js use style attributes.
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# Both: a stranger who guesses locks out that name from that address, and nobody else.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "admin/locked_out.html"
AXES_ENABLE_ADMIN = False
AXES_DISABLE_ACCESS_LOG = True  # who logged in and out: Django's own `last_login` and the console's history do
AXES_VERBOSE = False

# Requests a minute that one API token (or console session) may make of one web process; 0 is any number.
API_REQUESTS_PER_MINUTE = integer("API_REQUESTS_PER_MINUTE", 600)
