"""`manage.py first_admin_link`: prints the one-time link that makes the first administrator."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from apps.dashboard import first_admin


class Command(BaseCommand):
    help = "Prints a link, good for a day, with which the first administrator makes the account."

    def handle(self, *args: Any, **options: Any) -> None:
        if first_admin.admin_exists():
            self.stdout.write(f"Sign in at {settings.BASE_URL}/ (an administrator exists).")
            return
        self.stdout.write(
            f"Make the first administrator (once, within a day):\n  {settings.BASE_URL}{first_admin.new_path()}"
        )
