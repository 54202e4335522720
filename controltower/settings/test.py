"""Tests: the embedded database unless TEST_DATABASE_URL names another server."""

from __future__ import annotations

import hashlib
import os

from controltower.embedded import cluster_for_tests
from controltower.settings.base import *  # noqa: F403
from controltower.settings.base import BASE_DIR, DATABASES, env

SECRET_KEY = "tests-only-" + "k" * 50
SECRETS_KEYS = ["MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="]
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

url = os.environ.get("TEST_DATABASE_URL") or cluster_for_tests()
DATABASES["default"].update(env.db_url_config(url))
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
# checkouts share one test cluster: each has databases of its own
suffix = os.environ.get("TEST_DB_SUFFIX") or "_" + hashlib.sha256(str(BASE_DIR).encode()).hexdigest()[:6]
DATABASES["default"]["TEST"] = {"NAME": f"test_controltower{suffix}"}
WAKE_WORKERS = False
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
# every test client has middleware of its own: reading all static files for each one took most of the time of its pages
WHITENOISE_AUTOREFRESH = True
CELERY_BROKER_URL = "memory://"
CELERY_BROKER_TRANSPORT_OPTIONS = {}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
