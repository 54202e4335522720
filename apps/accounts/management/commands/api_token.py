"""`manage.py api_token issue NAME --scope ..`, `list`, `revoke ID`: tokens of machines."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_duration

from apps.accounts import tokens
from apps.accounts.models import ApiClient


class Command(BaseCommand):
    help = "Issues, lists and revokes tokens for machines. A token is printed once and kept only as a hash."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        issue = verbs.add_parser("issue", help="make a token and print it")
        issue.add_argument("name", help="which machine uses it")
        issue.add_argument("--scope", action="append", required=True, choices=sorted(tokens.SCOPES), dest="scopes")
        issue.add_argument("--expires-in", default="", metavar="DURATION", help="such as P90D; default: never")
        verbs.add_parser("list", help="all tokens, without their secrets")
        revoke = verbs.add_parser("revoke", help="end a token now")
        revoke.add_argument("id", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        if options["verb"] == "issue":
            span = parse_duration(options["expires_in"]) if options["expires_in"] else None
            if options["expires_in"] and span is None:
                raise CommandError(f"{options['expires_in']!r} is no duration; write it as P90D")
            try:
                issued = tokens.issue(
                    options["name"], options["scopes"], None, now, expires_at=now + span if span else None
                )
            except ValueError as problem:
                raise CommandError(str(problem)) from None
            self.stdout.write(f"client {issued.client.pk}, token (shown only now): {issued.token}")
        elif options["verb"] == "revoke":
            if not tokens.revoke(options["id"], None, now):
                raise CommandError(f"there is no live token {options['id']}")
            self.stdout.write("revoked")
        else:
            for client in ApiClient.objects.order_by("pk"):
                ended = (
                    "revoked"
                    if client.revoked_at
                    else "expired"
                    if client.expires_at and client.expires_at <= now
                    else "live"
                )
                self.stdout.write(
                    f"{client.pk}\t{client.name}\t…{client.token_hint}\t{ended}\t{' '.join(client.scopes)}"
                )
