"""`manage.py simulate`: the demo network, live over HTTP, or whole days of it at once with the truth beside them."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.integrations.credentials import issue, live_secrets
from apps.integrations.models import Integration
from apps.simulator import timeline, truth
from apps.simulator.beside import HINTS, MARKET, Beside
from apps.simulator.books import Books, empty_books
from apps.simulator.faults import BERLIN, DEMO, Faults, FaultsError, read
from apps.simulator.history import messages_between
from apps.simulator.live import Network
from apps.simulator.management.commands.demo_backfill import SEED
from apps.simulator.odoo_server import OdooServer
from apps.simulator.scoring import score
from apps.simulator.wire import SENDERS

ODOO = "odoo-books"
#: invoices so old are in the pretend Odoo when it starts
BOOKED = timedelta(days=2)


class Command(BaseCommand):
    help = (
        "Without --days: sends the demo network's messages over HTTP as their time comes, until interrupted. "
        "With --days: tells the tower whole days through its doors, at simulated times, and writes the truth to --out."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--base-url", default=settings.BASE_URL, help="where the tower listens (live)")
        parser.add_argument("--seed", type=int, default=SEED)
        parser.add_argument("--days", type=int, help="how many days to tell; their stories are followed to the end")
        parser.add_argument("--start", type=date.fromisoformat, help="first day (else so that all ends today)")
        parser.add_argument("--faults", type=Path, help="YAML: what goes wrong and how often (see docs/simulator.md)")
        parser.add_argument("--out", type=Path, default=Path("truth.json"), help="where the truth is written")
        parser.add_argument("--sweep-minutes", type=int, default=30, help="simulated time between two sweeps")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] is None:
            self._live(options)
        else:
            self._days(options)

    def _live(self, options: dict[str, Any]) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        with ExitStack() as ends:
            beside = self._beside(ends, options["seed"])
            network = Network(options["base_url"], options["seed"], timezone.now, beside)
            missed = network.catch_up()
            self.stdout.write(f"caught up with {missed:,} messages; sending live to {options['base_url']}")
            network.run(stop.is_set)

    def _beside(self, ends: ExitStack, seed: int) -> Beside | None:
        """The log, the folder and the Odoo beside the doors; None where their integrations are not registered."""
        now = timezone.now()
        senders = {one.slug: one for one in Integration.objects.filter(slug__in=(ODOO, HINTS, MARKET))}
        if len(senders) < 3:
            return None
        asked = senders[ODOO]
        key = next(iter(live_secrets(asked.pk, now)), "") or issue(asked, now, None)[1]
        books = Books(empty_books(key))
        books.plan(messages_between(now - BOOKED, now, seed))
        books.book(now)
        try:
            ends.enter_context(OdooServer(books.store, urlsplit(asked.settings["base_url"]).port or 0))
        except OSError as problem:
            self.stdout.write(f"The pretend Odoo did not start ({problem.strerror}); its integration will say so.")
            return Beside(settings.DROP_ROOT, None, now)
        return Beside(settings.DROP_ROOT, books, now)

    def _days(self, options: dict[str, Any]) -> None:
        if not 1 <= options["days"] <= 400:
            raise CommandError("--days: from 1 to 400.")
        if not 1 <= options["sweep_minutes"] <= 1440:
            raise CommandError("--sweep-minutes: from 1 to 1440.")
        missing = SENDERS - set(Integration.objects.values_list("slug", flat=True))
        if missing:
            raise CommandError(
                f"The demo network is not registered here ({', '.join(sorted(missing))}). In a tower that holds nothing "
                "real: manage.py load_config apps/flows/definition_files apps/simulator/demo"
            )
        span = timedelta(days=options["days"]) + timeline.TAIL
        start = options["start"] or (timezone.now().astimezone(BERLIN) - span).date()
        every = timedelta(minutes=options["sweep_minutes"])
        plan = timeline.Plan(start, options["days"], options["seed"], _faults(options["faults"]), every)
        journeys = plan.journeys()
        verdicts = truth.awaited(journeys)
        header = {"seed": plan.seed, "start": start.isoformat(), "days": plan.days, "ends": plan.end.isoformat()}
        options["out"].write_bytes(orjson.dumps(truth.as_json(journeys, verdicts, header), option=orjson.OPT_INDENT_2))
        self.stdout.write(f"{len(journeys):,} stories, {len(verdicts):,} milestones due: {options['out']}")
        sent = timeline.run(plan, journeys, self._progress())
        found = score(verdicts)
        self.stdout.write(
            f"\n{sent:,} requests. Late or missing: {found.wrong:,}, of which the ledger shows {found.found:,} "
            f"({found.recall:.1%}); called late although on time: {len(found.false):,} ({found.false_share:.2%})."
        )
        for word, keys in (("missed", found.missed), ("false", found.false)):
            for key in keys[:10]:
                self.stdout.write(f"  {word}: {' '.join(key)}")

    def _progress(self) -> Any:
        last = -1

        def progress(done: int, total: int) -> None:
            nonlocal last
            percent = 100 * done // max(1, total)
            if percent != last:
                last = percent
                self.stdout.write(f"\r{done:,} of {total:,} messages", ending="")
                self.stdout.flush()

        return progress


def _faults(path: Path | None) -> Faults:
    if path is None:
        return DEMO
    try:
        return read(path.read_text())
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror or error}.") from None
    except FaultsError as error:
        raise CommandError(f"{path}: {error}") from None
