"""Settings common to every environment; everything that differs comes from environment variables."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF

from apps.core.logging import configuration as logging_configuration
from controltower.home import broker_options, default_home
from controltower.settings.api import *  # noqa: F403

BASE_DIR = Path(__file__).resolve().parent.parent.parent
env = environ.Env()

SECRET_KEY = env.str("SECRET_KEY", default="")
DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
#: how many reverse proxies stand before us; their X-Forwarded-For and X-Forwarded-Proto are believed (core.middleware)
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", default=0)
BASE_URL = env.str("BASE_URL", default="http://localhost:8000")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django_htmx",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "csp",
    "django_prometheus",
    "apps.core",
    "apps.accounts",
    "apps.integrations",
    "apps.flows",
    "apps.incidents",
    "apps.oncall",
    "apps.sla",
    "apps.notifications",
    "apps.anomalies",
    "apps.reports",
    "apps.collectors",
    "apps.configuration",
    "apps.dashboard",
    "apps.portal",
    "apps.api",
    "apps.simulator",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "apps.core.middleware.ClientAddress",
    "apps.core.middleware.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "apps.core.middleware.NoNul",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "controltower.urls"
WSGI_APPLICATION = "controltower.wsgi.application"
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

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
            ],
        },
    }
]

DATABASES = {"default": env.db("DATABASE_URL", default="postgres://localhost/controltower")}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
DATABASES["default"]["OPTIONS"] = {"connect_timeout": 3, **DATABASES["default"].get("OPTIONS", {})}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["ATOMIC_REQUESTS"] = False
# web processes set DATABASE_POOL to their number of threads; workers fork, so they keep one connection per process
if DATABASE_POOL := env.int("DATABASE_POOL", default=0):
    # reconnect_timeout: the pool's own pauses double up to minutes; given up after a second, the next request tries anew
    pool = {"min_size": 1, "max_size": DATABASE_POOL, "timeout": 3, "reconnect_timeout": 1}
    DATABASES["default"]["OPTIONS"]["pool"] = pool
else:
    DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=60)

CONTROLTOWER_HOME = default_home(env)

# secrets at rest: newest key first; older ones still decrypt (core.secrets)
SECRETS_KEYS = env.list("SECRETS_KEYS", default=[])

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
#: in which reports count days and months, for every reader alike (reports.rollups)
REPORT_ZONE = env.str("REPORT_ZONE", default=TIME_ZONE)

STATIC_URL = "/static/"
STATIC_ROOT: Path | None = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
PARTNER_HOME_URL = "/status/"
LOGOUT_REDIRECT_URL = "/sign-in/"

# what is tried to be signed in with, by account and address together: guessing from elsewhere locks nobody out
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(hours=1)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_LOCKOUT_CALLABLE = "apps.dashboard.signin.locked_out"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address"]

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

CACHES = {"default": env.cache_url("CACHE_URL", default="locmemcache://")}
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
if vars()["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend":
    EMAIL_BACKEND = "apps.core.mail.EmailBackend"  # the same, but a name server that hangs does not hang the sender
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="control-tower@localhost")

# the auditor's sign of life to a dead-man switch outside; where to say that something is wrong; its internal networks
DEAD_MAN_URL = env.str("DEAD_MAN_URL", default="")
DEAD_MAN_FAIL_URL = env.str("DEAD_MAN_FAIL_URL", default="")
DEAD_MAN_NETWORKS = env.list("DEAD_MAN_NETWORKS", default=[])

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING = logging_configuration(LOG_LEVEL)

# readiness and metrics (core.health, core.metrics)
READY_SWEEP_MAX_AGE = timedelta(seconds=env.int("READY_SWEEP_MAX_AGE", default=120))
READY_BACKLOG_MAX_AGE = timedelta(seconds=env.int("READY_BACKLOG_MAX_AGE", default=600))
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# after an outage of a source, what is overdue stays unknown for a quarter of the outage, at least so long (sla.sources)
SLA_CATCH_UP = timedelta(minutes=env.float("SLA_CATCH_UP_MINUTES", default=30))
# a waiver on a flow worth more than this (in its own currency) needs a second person; empty: none does (sla.waiving)
SLA_SECOND_EYE_ABOVE = env.str("SLA_SECOND_EYE_ABOVE", default="")

# a cause that comes back so soon after its incident was resolved reopens that incident (incidents.raising)
INCIDENT_REOPEN_WINDOW = timedelta(hours=env.float("INCIDENT_REOPEN_HOURS", default=4))
# when its last finding is cleared an incident waits so long whether more comes; 0: it resolves at once (incidents.tending)
INCIDENT_QUIET = timedelta(minutes=env.float("INCIDENT_QUIET_MINUTES", default=0))
# an alert of another tool that is not told again for so long counts as over; 0: never (incidents.tending)
INCIDENT_ALERT_QUIET = timedelta(hours=env.float("INCIDENT_ALERT_QUIET_HOURS", default=24))
# severity by money at stake, as CURRENCY:severity:amount (incidents.tending)
INCIDENT_MONEY = env.list("INCIDENT_MONEY", default=[])
# which incidents want a review once they are over (incidents.reviewing)
INCIDENT_REVIEW_SEVERITIES = env.list("INCIDENT_REVIEW_SEVERITIES", default=["critical", "high"])

# watched folders lie below it, and nowhere else (collectors.folders)
DROP_ROOT = Path(env.str("CONTROLTOWER_DROP_ROOT", default=str(CONTROLTOWER_HOME / "drop")))

# doors: commit deliveries of many requests together (pays off under granian's threads), and wake workers at once
GROUP_COMMIT = env.bool("GROUP_COMMIT", default=False)
WAKE_WORKERS = env.bool("WAKE_WORKERS", default=True)
# a replay of more messages than this needs a second person (collectors.replay_runs)
REPLAY_APPROVAL_ABOVE = env.int("REPLAY_APPROVAL_ABOVE", default=500)

# Celery: the broker is a wake-up, work is rows (invariant 5)
CELERY_BROKER_URL = env.str("BROKER_URL", default="filesystem://")
CELERY_BROKER_TRANSPORT_OPTIONS = broker_options(
    CELERY_BROKER_URL, Path(env.str("BROKER_FOLDER", default=str(CONTROLTOWER_HOME / "broker")))
)
CELERY_BROKER_CONNECTION_TIMEOUT = 2
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_DEFAULT_QUEUE = "assess"
CELERY_TASK_ROUTES = {
    "collectors.*": {"queue": "ingest"},
    "notifications.audit": {"queue": "assess"},  # before the pattern: not where the dispatcher may hang
    "notifications.*": {"queue": "notify"},
}
CELERY_WORKER_POOL = "controltower.pool:TaskPool"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_WORKER_MAX_MEMORY_PER_CHILD = env.int("WORKER_MAX_MEMORY_KIB", default=600_000)
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "controltower.celery:Scheduler"
CELERY_BEAT_SCHEDULE = {
    # a tick that nobody took within its interval is dropped: the next one does the same work
    name: {"task": name, "schedule": every, "options": {"expires": every}}
    for name, every in {
        "collectors.process": 10.0,
        "collectors.poll": 30.0,
        "collectors.expect": 60.0,
        "collectors.replay": 10.0,
        "sla.sweep": 30.0,
        "sla.promises": 60.0,
        "sla.rederive": 10.0,
        "sla.learn_hops": 3_600.0,
        "notifications.dispatch": 10.0,
        "notifications.audit": 60.0,
        "notifications.escalate": 30.0,
        "notifications.handover": 60.0,
        "incidents.tend": 60.0,
        "anomalies.tick": 60.0,
        "anomalies.deadlines": 60.0,
        "anomalies.learn": 3_600.0,
        "anomalies.metrics": 300.0,
        "anomalies.causes": 60.0,
        "anomalies.reconcile": 120.0,
        "anomalies.risk_fit": 86_400.0,
        "anomalies.risk": 900.0,
        "reports.fold": 60.0,
        "reports.objectives": 300.0,
        "reports.work_out": 600.0,
        "reports.send": 900.0,
        "reports.check": 86_400.0,
        "core.ping": 30.0,
        "core.maintain": 86_400.0,
    }.items()
}
