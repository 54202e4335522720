"""manage.py import_log --integration SLUG FILE: a whole event log as history, or told anew from a moment on."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError

from apps.collectors.importing import Imported, Importer
from apps.collectors.logfiles import CannotRead
from apps.collectors.times import Replay, TimeError, zone_of
from apps.core import clock
from apps.integrations.models import Integration

_WIDTH = 30


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0
    if not 0.001 <= speed <= 1_000_000:
        raise ArgumentTypeError("a number above zero, such as 60: one hour of the log in a minute")
    return speed


class Command(BaseCommand):
    help = (
        "Imports an event log (CSV, JSON lines, Parquet; plain or .gz) by the integration's mapping. What it tells is "
        "history: it is judged, but raises no incident and pages nobody. Exit code 0: all read; 1: some rows gave dead "
        "letters; 2: nothing could be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--integration", required=True, metavar="SLUG")
        parser.add_argument(
            "--as-of",
            metavar="TIME",
            help="this moment of the log becomes now (a date: at the present time of day, so that days stay whole); "
            "what is later is kept back. A time without an offset is of the integration's time zone",
        )
        parser.add_argument("--follow", action="store_true", help="with --as-of: tell what is later live, at its time")
        parser.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="with --follow: N times as fast")
        parser.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["follow"] and not options["as_of"]:
            raise CommandError("--follow needs --as-of: the moment of the log that is now.", returncode=2)
        if options["speed"] != 1 and not options["follow"]:
            raise CommandError("--speed needs --follow.", returncode=2)
        try:
            integration = Integration.objects.get(slug=options["integration"])
        except Integration.DoesNotExist:
            raise CommandError(f"There is no integration {options['integration']!r}.", returncode=2) from None
        replay = self._replay(options, integration.time_zone)
        try:
            importer = Importer(
                integration, options["file"], clock.now, replay, time.sleep, on_progress=self._show_progress
            )
            done = importer.history()
        except CannotRead as error:
            raise CommandError(str(error), returncode=2) from None
        self._end_progress()
        self._sum_up(done)
        if replay is not None:
            self._tell_future(importer, replay, options)
        if done.letters:
            self.stdout.write(f"{done.letters:,} dead letters are listed with their rows and may be replayed.")
            sys.exit(1)

    def _replay(self, options: dict[str, Any], zone_name: str) -> Replay | None:
        if not options["as_of"]:
            return None
        now = clock.now()
        try:
            return Replay(_moment(options["as_of"], now, zone_of(zone_name)), now, options["speed"])
        except (ValueError, TimeError):
            raise CommandError(
                f"{options['as_of']!r} is not a time; write it like 2018-01-15 or 2018-01-15T16:00:00-02:00.",
                returncode=2,
            ) from None

    def _tell_future(self, importer: Importer, replay: Replay, options: dict[str, Any]) -> None:
        done = importer.done
        later = f"{done.kept_back:,} events lie after {options['as_of']}"
        if not options["follow"]:
            self.stdout.write(f"{later}; they were kept back (use --follow to tell them live).")
            return
        self.stdout.write(f"{later}; telling them live{self._faster(options['speed'])}. Stop with Ctrl-C.")
        try:
            for _ in importer.future(replay):
                self.stdout.write(f"{clock.now():%Y-%m-%d %H:%M:%S}Z  {done.told:,} of {done.kept_back:,} told")
                self.stdout.flush()
        except KeyboardInterrupt:
            self.stdout.write(f"Stopped; {done.kept_back - done.told:,} events were not told.")
        finally:
            importer.spool.close()

    def _faster(self, speed: float) -> str:
        return "" if speed == 1 else f", {speed:g} times as fast"

    def _sum_up(self, done: Imported) -> None:
        counts = (
            f"{done.rows:,} rows, {done.receipts:,} receipts, {done.events:,} events, {done.duplicates:,} duplicates"
        )
        if done.conflicts:
            counts += f", {done.conflicts:,} conflicts"
        self.stdout.write(counts)

    def _show_progress(self, share: float, done: Imported) -> None:
        """One line that is drawn anew, on a terminal only."""
        if self.stderr.isatty():
            filled = round(share * _WIDTH)
            bar = "█" * filled + "░" * (_WIDTH - filled)
            self.stderr.write(f"\r{bar} {share:4.0%}  {done.rows:,} rows, {done.events:,} events", ending="")
            self.stderr.flush()

    def _end_progress(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("")


def _moment(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """A date means that day at the present time of day in the zone; a time without offset is of the zone."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return datetime.combine(day, now.astimezone(zone).time(), zone)
