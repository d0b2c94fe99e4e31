"""WSGI: `chatautodm.wsgi.application`, for servers without ASGI; the webhook then goes through Django's view."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatautodm.settings")
application = get_wsgi_application()
