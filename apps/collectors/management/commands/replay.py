"""manage.py replay: receipts processed once more, or (--dry-run) what that would give."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.collectors.deadletters import search
from apps.collectors.processing import process
from apps.collectors.replay import MOST, Replayed, receipts_of, replay
from apps.core import clock


class Command(BaseCommand):
    help = "Replays receipts by number, or those behind open dead letters by integration, code or text."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("receipts", nargs="*", type=int, metavar="RECEIPT")
        parser.add_argument("--integration", default="", metavar="SLUG", help="open dead letters of this integration")
        parser.add_argument("--code", default="", help="open dead letters with this code")
        parser.add_argument("--search", default="", metavar="TEXT", help="open dead letters with this text")
        parser.add_argument("--dry-run", action="store_true", help="say what would come, write nothing")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        ids = list(options["receipts"])
        if options["integration"] or options["code"] or options["search"]:
            letters = search(options["search"], integration=options["integration"], code=options["code"])
            ids += receipts_of(list(letters[:MOST]))
        elif not ids:
            raise CommandError("Name receipts, or choose by --integration, --code or --search.", returncode=2)
        done = replay(ids, None, clock.now(), dry_run=options["dry_run"])
        if not options["dry_run"]:
            while process(clock.now(), only=done.receipts).moved:
                pass
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done), indent=2))
        else:
            self.stdout.write(_sentence(done))


def _sentence(done: Replayed) -> str:
    if not done.dry_run:
        return f"{len(done.receipts)} receipts replayed"
    lines = [
        f"{len(done.receipts)} receipts would give {done.events} new events, {done.duplicates} duplicates, "
        f"{done.conflicts} conflicts; {len(done.failing)} would still give nothing"
    ]
    lines += [f"  {count} x {code}" for code, count in done.codes.items()]
    return "\n".join(lines)
