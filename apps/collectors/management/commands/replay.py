"""manage.py replay: receipts processed once more, or (--dry-run) what that would give."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.collectors import replay_runs
from apps.collectors.deadletters import search
from apps.collectors.models import ReplayRun
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
        parser.add_argument("--reason", default="", help="for the second person, where one must agree")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        ids = list(options["receipts"])
        if options["integration"] or options["code"] or options["search"]:
            letters = search(options["search"], integration=options["integration"], code=options["code"])
            ids += receipts_of(list(letters[:MOST]))
        elif not ids:
            raise CommandError("Name receipts, or choose by --integration, --code or --search.", returncode=2)
        if not options["dry_run"] and len(set(ids)) > replay_runs.threshold():
            self._ask(ids, options)
            return
        done = replay(ids, None, clock.now(), dry_run=options["dry_run"])
        if not options["dry_run"]:
            while process(clock.now(), only=done.receipts).moved:
                pass
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done), indent=2))
        else:
            self.stdout.write(_sentence(done))

    def _ask(self, ids: list[int], options: dict[str, Any]) -> None:
        """Above the threshold a second person agrees, on the page of the replay: who has a shell is one person too."""
        reason = options["reason"] or "asked on the command line"
        try:
            run = replay_runs.ask(ids, _chosen(options), None, clock.now(), reason)
            while ReplayRun.objects.filter(pk=run.pk, state=ReplayRun.State.TRYING).exists():
                if not replay_runs.advance(clock.now(), only=run.pk):
                    time.sleep(1)  # a worker is at it
            run = replay_runs.start(run.pk, None, clock.now(), reason)
        except replay_runs.NotAllowed as refused:
            raise CommandError(str(refused)) from None
        address = f"{settings.BASE_URL}/replays/{run.pk}/"
        if options["json"]:
            self.stdout.write(json.dumps({"run": run.pk, "state": run.state, "counts": run.counts, "address": address}))
            return
        counts = ", ".join(f"{count:,} {name}" for name, count in sorted(run.counts.items()))
        self.stdout.write(
            f"{run.total:,} messages are more than {replay_runs.threshold():,}: a second person must agree on {address} "
            f"(tried: {counts}). Nothing was replayed yet."
        )


def _chosen(options: dict[str, Any]) -> str:
    """Which messages, in words."""
    told = [f"{name} {options[name]}" for name in ("integration", "code", "search") if options[name]]
    if options["receipts"]:
        told.append(f"{len(options['receipts']):,} named messages")
    return f"On the command line: {', '.join(told)}"


def _sentence(done: Replayed) -> str:
    if not done.dry_run:
        return f"{len(done.receipts)} receipts replayed"
    lines = [
        f"{len(done.receipts)} receipts would give {done.events} new events, {done.duplicates} duplicates, "
        f"{done.conflicts} conflicts; {len(done.failing)} would still give nothing"
    ]
    lines += [f"  {count} x {code}" for code, count in done.codes.items()]
    return "\n".join(lines)
