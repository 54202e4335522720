from django.apps import AppConfig


class OncallConfig(AppConfig):
    name = "apps.oncall"
    label = "oncall"
    default_auto_field = "django.db.models.BigAutoField"
