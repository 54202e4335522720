"""`manage.py demo_users --passwords FILE`: the four sign-ins of the demo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from apps.accounts.models import Role, Team, User
from apps.integrations.models import Partner, PartnerAccess

#: sign-in -> (role, first name, last name)
SIGN_INS = {
    "operations": (Role.OPERATIONS, "Olga", "Operations"),
    "oncall": (Role.ON_CALL, "Omar", "On-call"),
    "manager": (Role.MANAGER, "Mina", "Manager"),
    "partner": (Role.PARTNER, "Pavel", "Partner"),
}

#: the supplier whose ASNs make the demo's story
PARTNER = "metalworks"


class Command(BaseCommand):
    help = "Makes the sign-ins of the demo with the passwords of a JSON file ({sign-in: password})."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--passwords", type=Path, required=True, metavar="FILE")
        parser.add_argument("--partner", default=PARTNER, metavar="SLUG", help="whose page `partner` sees")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        passwords = json.loads(options["passwords"].read_text())
        if missing := sorted(SIGN_INS.keys() - passwords.keys()):
            raise CommandError(f"{options['passwords']} has no password for {', '.join(missing)}")
        partner = self._partner(options["partner"])
        for name, (role, first, last) in SIGN_INS.items():
            user, _ = User.objects.get_or_create(username=name)
            user.role, user.first_name, user.last_name = role, first, last
            user.email = user.email or f"{name}@demo.example"
            user.is_active, user.is_staff, user.is_superuser = True, False, False
            user.set_password(passwords[name])
            user.save()
            if role == Role.PARTNER:
                PartnerAccess.objects.update_or_create(user=user, defaults={"partner": partner})
            elif not user.teams.exists():
                user.teams.set(Team.objects.all())
        self.stdout.write(f"{len(SIGN_INS)} sign-ins; partner sees {partner.name}.")

    def _partner(self, slug: str) -> Partner:
        try:
            return Partner.objects.get(slug=slug)
        except Partner.DoesNotExist:
            raise CommandError(f"there is no partner {slug!r}; load the demo configuration first") from None
