"""Django's settings, read from the environment in one place. `.env.example` documents every variable.

A wrong value stops the start with one line that names the variable, the form it must have and the fix.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from chatautodm.alert_settings import ALERT_EMAILS as ALERT_EMAILS
from chatautodm.alert_settings import ALERT_SECRETS as ALERT_SECRETS
from chatautodm.alert_settings import ALERT_WEBHOOK_URL as ALERT_WEBHOOK_URL
from chatautodm.alert_settings import CONSOLE_URL as CONSOLE_URL
from chatautodm.alert_settings import DEFAULT_FROM_EMAIL as DEFAULT_FROM_EMAIL
from chatautodm.alert_settings import EMAIL_BACKEND as EMAIL_BACKEND
from chatautodm.alert_settings import EMAIL_FILE_PATH as EMAIL_FILE_PATH
from chatautodm.alert_settings import EMAIL_HOST as EMAIL_HOST
from chatautodm.alert_settings import EMAIL_HOST_PASSWORD as EMAIL_HOST_PASSWORD
from chatautodm.alert_settings import EMAIL_HOST_USER as EMAIL_HOST_USER
from chatautodm.alert_settings import EMAIL_PORT as EMAIL_PORT
from chatautodm.alert_settings import EMAIL_TIMEOUT as EMAIL_TIMEOUT
from chatautodm.alert_settings import EMAIL_USE_SSL as EMAIL_USE_SSL
from chatautodm.alert_settings import EMAIL_USE_TLS as EMAIL_USE_TLS
from chatautodm.console_settings import FORMAT_MODULE_PATH as FORMAT_MODULE_PATH
from chatautodm.console_settings import LOGIN_REDIRECT_URL as LOGIN_REDIRECT_URL
from chatautodm.console_settings import UNFOLD as UNFOLD
from chatautodm.environment import BASE_DIR as BASE_DIR
from chatautodm.environment import boolean as boolean
from chatautodm.environment import env as env
from chatautodm.environment import integer as integer
from chatautodm.environment import shaped as shaped
from chatautodm.environment import words as words
from chatautodm.log_settings import LOGGING as LOGGING
from chatautodm.log_settings import SENTRY_DSN as SENTRY_DSN
from chatautodm.log_settings import SENTRY_ENVIRONMENT as SENTRY_ENVIRONMENT
from chatautodm.log_settings import SENTRY_RELEASE as SENTRY_RELEASE
from chatautodm.log_settings import VERSION as VERSION
from chatautodm.security_settings import API_REQUESTS_PER_MINUTE as API_REQUESTS_PER_MINUTE
from chatautodm.security_settings import AUTHENTICATION_BACKENDS as AUTHENTICATION_BACKENDS
from chatautodm.security_settings import AXES_COOLOFF_TIME as AXES_COOLOFF_TIME
from chatautodm.security_settings import AXES_DISABLE_ACCESS_LOG as AXES_DISABLE_ACCESS_LOG
from chatautodm.security_settings import AXES_ENABLE_ADMIN as AXES_ENABLE_ADMIN
from chatautodm.security_settings import AXES_FAILURE_LIMIT as AXES_FAILURE_LIMIT
from chatautodm.security_settings import AXES_LOCKOUT_PARAMETERS as AXES_LOCKOUT_PARAMETERS
from chatautodm.security_settings import AXES_LOCKOUT_TEMPLATE as AXES_LOCKOUT_TEMPLATE
from chatautodm.security_settings import AXES_RESET_ON_SUCCESS as AXES_RESET_ON_SUCCESS
from chatautodm.security_settings import AXES_VERBOSE as AXES_VERBOSE
from chatautodm.security_settings import CONTENT_SECURITY_POLICY as CONTENT_SECURITY_POLICY
from chatautodm.security_settings import CSRF_COOKIE_SECURE as CSRF_COOKIE_SECURE
from chatautodm.security_settings import SECURE_HSTS_INCLUDE_SUBDOMAINS as SECURE_HSTS_INCLUDE_SUBDOMAINS
from chatautodm.security_settings import SECURE_HSTS_PRELOAD as SECURE_HSTS_PRELOAD
from chatautodm.security_settings import SECURE_HSTS_SECONDS as SECURE_HSTS_SECONDS
from chatautodm.security_settings import SECURE_PROXY_SSL_HEADER as SECURE_PROXY_SSL_HEADER
from chatautodm.security_settings import SECURE_SSL_REDIRECT as SECURE_SSL_REDIRECT
from chatautodm.security_settings import SESSION_COOKIE_SECURE as SESSION_COOKIE_SECURE
from chatautodm.security_settings import SILENCED_SYSTEM_CHECKS as SILENCED_SYSTEM_CHECKS
from queueops import sentinel

VAR_DIR = BASE_DIR / "var"

MAKE_A_KEY = 'Make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'

MAKE_A_TEXT = 'Make one with: python -c "import secrets; print(secrets.token_urlsafe(50))"'


def generated_once(name: str, generate: Any) -> str:
    """A development secret kept under var/, so that sessions and encrypted tokens survive a restart."""
    path = VAR_DIR / name
    try:
        if not path.exists():
            VAR_DIR.mkdir(exist_ok=True)
            _write_once(path, generate())
        return path.read_text()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name.upper()} is not set, and {path} cannot be written: {error.strerror}. Mend that, or set it."
        ) from error


def _write_once(path: Path, text: str) -> None:
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        partial.touch(mode=0o600)
        partial.write_text(text)
        # A link never replaces: two processes that start together agree on the first one's secret.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(partial)
    finally:
        partial.unlink(missing_ok=True)


def secret(name: str, generate: Any, how: str) -> str:
    """The variable; while DEBUG is on a generated value; otherwise an error with the command that makes one."""
    if value := os.environ.get(name, "").strip():
        return value
    if DEBUG:
        return generated_once(name.lower(), generate)
    raise ImproperlyConfigured(f"{name} is not set, and DEBUG is off. {how}")


def fernet_keys(text: str) -> list[str]:
    """FIELD_ENCRYPTION_KEYS as a list of at least one, or one clear error at start-up."""
    keys = [key.strip() for key in text.split(",") if key.strip()]
    try:
        for key in keys or [""]:
            Fernet(key)
    except ValueError as error:
        raise ImproperlyConfigured(
            f"FIELD_ENCRYPTION_KEYS must be Fernet keys (32 url-safe base64 bytes), comma-separated. {MAKE_A_KEY}"
        ) from error
    return keys


DEBUG = boolean("DEBUG", default=False)
SECRET_KEY = secret("SECRET_KEY", get_random_secret_key, MAKE_A_TEXT)
FIELD_ENCRYPTION_KEYS = fernet_keys(secret("FIELD_ENCRYPTION_KEYS", lambda: Fernet.generate_key().decode(), MAKE_A_KEY))
ALLOWED_HOSTS = words("ALLOWED_HOSTS", "localhost,127.0.0.1")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "axes",
    "csp",
    # Before django_rq: Django takes a command (rqworker) from the first app in this list that has it.
    "queueops",
    "automations",
    "webhooks",
    "chatautodm",
    "django_rq",
]

MIDDLEWARE = [
    "chatautodm.health.probes",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "chatautodm.refusals.no_nul",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # The last: it answers instead of the log-in page, once too many log-ins have failed.
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "chatautodm.urls"
WSGI_APPLICATION = "chatautodm.wsgi.application"
ASGI_APPLICATION = "chatautodm.asgi.application"
APPEND_SLASH = True  # the admin needs it; the webhook and API routes match both forms themselves

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


DATABASE_CONNECT_SECONDS = 5
DATABASE_SCHEMES = ("sqlite:", "postgres:", "postgresql:")


def database(url: str) -> dict[str, Any]:
    """Django's entry for DATABASE_URL, with the options that each server needs; or one clear error at start-up."""
    try:
        config: dict[str, Any] = env.db_url_config(url) if url.startswith(DATABASE_SCHEMES) else {}
    except (ValueError, ImproperlyConfigured):
        config = {}
    if config.get("NAME") in {None, "", ":memory:"}:
        # Without the value, which may hold a password.
        raise ImproperlyConfigured(
            "DATABASE_URL must be sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME, percent-encoded; "
            "the default is sqlite:///var/chatautodm.sqlite3."
        )
    if config["ENGINE"] == "django.db.backends.sqlite3":
        path = BASE_DIR / config["NAME"]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ImproperlyConfigured(
                f"DATABASE_URL names {path}, whose folder cannot be made: {error.strerror}. Mend that, or name another."
            ) from error
        config["NAME"] = str(path)
        config["OPTIONS"] = {
            "timeout": 20,
            # One writer at a time: take the write lock at BEGIN, so that two transactions queue instead of failing.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
    else:
        config["HOST"] = unquote(config.get("HOST") or "")  # a socket's folder is written %2Frun%2Fpostgresql
        config["CONN_MAX_AGE"] = 600
        config["CONN_HEALTH_CHECKS"] = True
        # A host that is gone does not even refuse: without it each try waits for minutes. `?connect_timeout=` wins.
        config.setdefault("OPTIONS", {}).setdefault("connect_timeout", DATABASE_CONNECT_SECONDS)
    return config


# Absolute paths of SQLite need four slashes; the contract's `sqlite:///var/…` means the project's own folder.
DATABASES = {"default": database(os.environ.get("DATABASE_URL", "").strip() or "sqlite:///var/chatautodm.sqlite3")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
# The web server serves what the installed apps ship: there is no STATIC_ROOT and no collectstatic step.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]


def valkey_socket(folder: Path) -> Path:
    """The embedded server's socket: beside its data, or under /tmp when the path is longer than a socket's may be."""
    socket = folder / "valkey.sock"
    if len(str(socket).encode()) <= 100:
        return socket
    name = hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"chatautodm-{os.getuid()}-{name}.sock"


# --- Queue -----------------------------------------------------------------------------------------------------------

LANES = ["high", "default", "low"]

REDIS_URL = os.environ.get("REDIS_URL", "").strip()
if REDIS_URL and not REDIS_URL.startswith(("redis://", "rediss://", "unix://", sentinel.SCHEME)):
    raise ImproperlyConfigured(
        f"REDIS_URL must begin with redis://, rediss://, unix:// or {sentinel.SCHEME}, "
        f"not {REDIS_URL.split(':')[0]!r}; leave it unset for the embedded Valkey."
    )
REDIS_REPLICAS_TO_WAIT_FOR = integer("REDIS_REPLICAS_TO_WAIT_FOR", 0)
# Where the embedded Valkey keeps its append-only file, socket and log.
VALKEY_DIR = VAR_DIR / "valkey"
EMBEDDED_REDIS_URL = f"unix://{valkey_socket(VALKEY_DIR)}"

QUEUE_REDIS_URL = REDIS_URL or EMBEDDED_REDIS_URL


def watched(url: str) -> sentinel.Watched | None:
    """What redis+sentinel:// names, None for any other address; or one clear error at start-up."""
    try:
        return sentinel.parse(url) if sentinel.is_meant(url) else None
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from error


WATCHED = watched(QUEUE_REDIS_URL)
# Four calls to Meta at their time-outs, and the writes between them.
QUEUE_JOB_TIMEOUT_SECONDS = 180

RQ_QUEUES = {
    lane: {
        **(WATCHED.rq_queue() if WATCHED else {"URL": QUEUE_REDIS_URL}),
        "DEFAULT_TIMEOUT": QUEUE_JOB_TIMEOUT_SECONDS,
        "SERIALIZER": "rq.serializers.JSONSerializer",
    }
    for lane in LANES
}
RQ = {"WORKER_CLASS": "queueops.worker.LaneWorker", "COMMIT_MODE": "auto"}
RQ_SHOW_ADMIN_LINK = True

# Imported by a worker at its start, so that the first customer does not wait for it.
QUEUE_PRELOAD = ["automations.tasks.process_event"]

USE_QUEUE_SYSTEM = boolean("USE_QUEUE_SYSTEM", default=True)
QUEUE_CONCURRENCY = integer("QUEUE_CONCURRENCY", 200, at_least=1)
QUEUE_WORKERS = integer("QUEUE_WORKERS", 0)
QUEUE_MAX_ATTEMPTS = integer("QUEUE_MAX_ATTEMPTS", 3, at_least=1)
QUEUE_BACKOFF_SECONDS = integer("QUEUE_BACKOFF_SECONDS", 2)
QUEUE_STUCK_AFTER_SECONDS = integer("QUEUE_STUCK_AFTER_SECONDS", 300, at_least=1)
QUEUE_SHARE_DEFAULT = integer("QUEUE_SHARE_DEFAULT", 10, at_most=40)  # per cent
QUEUE_SHARE_LOW = integer("QUEUE_SHARE_LOW", 5, at_most=40)
QUEUE_DEDUP_WINDOW_SECONDS = integer("QUEUE_DEDUP_WINDOW_SECONDS", 10, at_least=1)
QUEUE_MAX_WEBHOOKS_PER_MINUTE = integer("QUEUE_MAX_WEBHOOKS_PER_MINUTE", 10_000)
QUEUE_MAX_DEPTH = integer("QUEUE_MAX_DEPTH", 1_000_000)
QUEUE_CONSENT_ABOVE = integer("QUEUE_CONSENT_ABOVE", 1000)
QUEUE_ENABLE_METRICS = boolean("QUEUE_ENABLE_METRICS", default=True)
PACING_MESSAGES_PER_SECOND = integer("PACING_MESSAGES_PER_SECOND", 100)
PACING_MEDIA_PER_SECOND = integer("PACING_MEDIA_PER_SECOND", 10)
PACING_PRIVATE_REPLIES_PER_HOUR = integer("PACING_PRIVATE_REPLIES_PER_HOUR", 750)

# --- Objectives ------------------------------------------------------------------------------------------------------

OBJECTIVE_SECONDS = integer("OBJECTIVE_SECONDS", 60, at_least=1)
OBJECTIVE_PERCENT = float(
    shaped("OBJECTIVE_PERCENT", "99", r"\d{1,2}(\.\d{1,3})?", "a number below 100, such as 99 or 99.9")
)

# gunicorn reads it, too, before it reads us, and answers what is no number with a traceback of its own.
WEB_CONCURRENCY = integer("WEB_CONCURRENCY", os.cpu_count() or 1, at_least=1)

# --- Instagram -------------------------------------------------------------------------------------------------------

# One or more: an app with Instagram Login has two secrets, and no page of Meta's says which one signs.
INSTAGRAM_APP_SECRET = words("INSTAGRAM_APP_SECRET")
INSTAGRAM_VERIFY_TOKEN = os.environ.get("INSTAGRAM_VERIFY_TOKEN", "").strip()
WEBHOOK_MAX_BODY_BYTES = integer("WEBHOOK_MAX_BODY_BYTES", 8_388_608, at_least=1)
DATA_UPLOAD_MAX_MEMORY_SIZE = max(WEBHOOK_MAX_BODY_BYTES, 2_621_440)
GRAPH_API_URL = shaped(
    "GRAPH_API_URL", "https://graph.instagram.com", r"https?://\S+", "an address that begins with https:// or http://"
).rstrip("/")
GRAPH_API_VERSION = shaped("GRAPH_API_VERSION", "v25.0", r"v\d+\.\d+", "a version such as v25.0")
GRAPH_CONNECT_TIMEOUT_SECONDS = 5
GRAPH_READ_TIMEOUT_SECONDS = 20

# --- API and console -------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "queueops.api_tokens.ByToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_THROTTLE_CLASSES": ["chatautodm.throttling.PerCredential"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ChatAutoDM",
    "VERSION": VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,  # what is taken is described more narrowly than what is given
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}

# --- What must never be written (queueops.scrubbing) -----------------------------------------------------------------


def passwords(*urls: str) -> list[str]:
    """The passwords in these addresses, as they are written and as they are meant."""
    found = [urlsplit(url).password or "" for url in urls if "@" in url]
    return [form for password in found for form in (password, unquote(password))]


SECRETS = [
    SECRET_KEY,
    *FIELD_ENCRYPTION_KEYS,
    *INSTAGRAM_APP_SECRET,
    INSTAGRAM_VERIFY_TOKEN,
    *passwords(os.environ.get("DATABASE_URL", ""), REDIS_URL),
    *(WATCHED.passwords if WATCHED else []),
    *([urlsplit(SENTRY_DSN).username or ""] if SENTRY_DSN else []),
    *ALERT_SECRETS,
]
# How access tokens of Instagram Login (IGAA…, IGQV…) and Facebook Login (EAA…) begin.
SECRET_PATTERNS = [r"\b(?:IG[A-Z]{2}|EAA)[A-Za-z0-9_-]{16,}"]
