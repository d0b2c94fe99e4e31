"""Where Meta posts to, with and without a trailing slash: Meta does not follow redirects (FACTS section 1)."""

from __future__ import annotations

from django.urls import path

from webhooks.views import instagram

urlpatterns = [
    path("api/webhooks/instagram", instagram, name="instagram-webhook"),
    path("api/webhooks/instagram/", instagram),
]
