"""Settings of the REST API: Django REST framework and the OpenAPI document."""

from __future__ import annotations

from typing import Any

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.api.permissions.Declared"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.api.parsing.StrictJson"],
    "DEFAULT_THROTTLE_CLASSES": ["apps.api.throttling.PerCaller"],
    "DEFAULT_PAGINATION_CLASS": "apps.api.paging.Keyset",
    "DEFAULT_FILTER_BACKENDS": ["apps.api.filters.KnownFilters"],
    "DEFAULT_SCHEMA_CLASS": "apps.api.schema.TowerSchema",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_VERSIONING_CLASS": None,
    "EXCEPTION_HANDLER": "apps.api.problems.handle",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Control tower",
    "DESCRIPTION": "Deliver messages, read flows and their deadlines, work incidents. docs/api.md explains it in words.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    # partners are shown fewer fields than staff
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.api.schema.with_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "FlowStatus": "apps.flows.models.Flow.Status",
        "ExpectationState": "apps.sla.models.Expectation.State",
        "IncidentState": "apps.incidents.models.Incident.State",
        "Severity": "apps.incidents.models.Severity",
        "ReceiptStatus": "apps.collectors.models.ReceiptState.Status",
        "DeadlineState": "apps.api.serializers.FlowShown.STATES",
        "MaintenanceKind": "apps.integrations.maintenance_models.MaintenanceWindow.Kind",
        "AwaitedKind": "apps.notifications.escalation_models.AwaitedStep.Kind",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "/static/drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": False, "validatorUrl": None},
}

#: requests a caller (a token, a person) may make in one minute, and deliveries among them
API_REQUESTS_PER_MINUTE = 1_200
API_DELIVERIES_PER_MINUTE = 6_000
