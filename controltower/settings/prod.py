"""Production: the environment only, behind a proxy that ends TLS. docs/operations.md lists every variable."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from controltower.settings.base import *  # noqa: F403
from controltower.settings.base import STORAGES, TRUSTED_PROXIES, env

MUST_BE_SET = ["SECRET_KEY", "SECRETS_KEYS", "DATABASE_URL", "BROKER_URL", "ALLOWED_HOSTS", "BASE_URL"]
if missing := [name for name in MUST_BE_SET if not env.str(name, default="")]:
    raise ImproperlyConfigured(
        f"These environment variables are not set: {', '.join(missing)}. docs/operations.md says what goes into each."
    )

STORAGES = {
    **STORAGES,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# the proxy ends TLS and says so; without a trusted proxy the header is anybody's word
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_INCLUDE_SUBDOMAINS", default=True)
SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", default=True)
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
