"""`manage.py export_config`: the whole configuration as YAML that loads to the same."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.configuration.documents import dump
from apps.configuration.loading import export


class Command(BaseCommand):
    help = "Prints the configuration as YAML; secrets are never exported."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(dump(export()), ending="")
