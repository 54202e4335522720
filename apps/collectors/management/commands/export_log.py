"""manage.py export_log --format FORM --out FILE: flows and their events as a log for process mining."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.collectors.exporting import XES, CannotExport, Exported, Wanted, export
from apps.collectors.logs.writers import FORMATS
from apps.flows.models import FlowDefinition
from apps.integrations.models import Integration, Partner

_WIDTH = 30


def _moment(text: str, option: str) -> datetime | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise CommandError(
                f"{option}: {text!r} is not a time; write it like 2026-03-02 or 2026-03-02T08:00:00+01:00.",
                returncode=2,
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.combine(day, time(), UTC)


class Command(BaseCommand):
    help = (
        "Writes events with their references and flows as OCEL 2.0 (JSON, XML, SQLite), or the flows of one kind as "
        "XES. The file appears when it is whole; a name that ends with .gz is packed. Exit code 0: written; 2: not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", required=True, choices=[*FORMATS, XES], dest="form")
        parser.add_argument("--out", required=True, type=Path, metavar="FILE")
        parser.add_argument("--flow", default="", metavar="SLUG", help="only flows of this definition; needed for xes")
        parser.add_argument("--partner", default="", metavar="SLUG", help="only flows of this partner")
        parser.add_argument("--integration", default="", metavar="SLUG", help="only events told by this integration")
        parser.add_argument("--since", default="", metavar="TIME", help="only what happened from then on (UTC)")
        parser.add_argument("--until", default="", metavar="TIME", help="only what happened before (UTC)")

    def handle(self, *args: Any, **options: Any) -> None:
        for name, model in (("flow", FlowDefinition), ("partner", Partner), ("integration", Integration)):
            slug = options[name]
            if slug and not model.objects.filter(slug=slug).exists():  # type: ignore[attr-defined]
                raise CommandError(f"There is no {name} {slug!r}.", returncode=2)
        wanted = Wanted(
            options["flow"],
            options["partner"],
            options["integration"],
            _moment(options["since"], "--since"),
            _moment(options["until"], "--until"),
        )
        try:
            done = export(wanted, options["form"], options["out"], self._show)
        except CannotExport as error:
            raise CommandError(str(error), returncode=2) from None
        except OSError as error:
            raise CommandError(
                f"{options['out']} cannot be written: {error.strerror or error}.", returncode=2
            ) from None
        if self.stderr.isatty():
            self.stderr.write("")
        counts = f"{done.events:,} events, " + (
            f"{done.traces:,} traces" if done.traces else f"{done.objects:,} objects"
        )
        self.stdout.write(f"{options['out']}: {counts}")

    def _show(self, share: float, done: Exported) -> None:
        if self.stderr.isatty():
            filled = round(min(1.0, share) * _WIDTH)
            self.stderr.write(
                f"\r{'█' * filled}{'░' * (_WIDTH - filled)} {share:4.0%}  {done.events:,} events", ending=""
            )
            self.stderr.flush()
