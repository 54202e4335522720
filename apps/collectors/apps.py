from django.apps import AppConfig


class CollectorsConfig(AppConfig):
    name = "apps.collectors"
    label = "collectors"
    default_auto_field = "django.db.models.BigAutoField"
