"""Follows the changes of an Odoo by the rules of polling it (observed on 18 and 19):

- write_date is the start of a transaction and shows up only after its commit, so every window begins an overlap before
  the end of the last one; what is read twice is recognised by its content;
- within a window, records are paged by id only: keyset paging by write_date loses records that share a second;
- the windows' ends are taken from Odoo's own clock, as whole seconds, and are exclusive: 18 compares microseconds;
- a move's quantity does not touch its picking, so moves and lines are followed too and lead to a new reading of what
  they belong to;
- deletions leave no trace: now and then all ids are compared, which also finds what was committed after the overlap;
- one unknown field fails a whole call, so only fields that exist are asked for.

- what Odoo's own webhooks named is read again by id first (`hints`);
- queue jobs have no write_date: those that failed or wait too long are asked for, and those that did before.

The cursor: {"windows": {model: {"since", "from", "to", "after", "first"} or {"since", "done"}},
             "reconcile": {"model", "after"} or {"done"}, "absent": {"since", "models"} (not there, or not ours to read),
             "hinted": when the newest hint came, "key": what is known of the key's end}, times as Odoo writes them.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from apps.collectors.contract import Polled
from apps.collectors.odoo import comparing, hints
from apps.collectors.odoo.ahead import is_ahead
from apps.collectors.odoo.answers import OdooError, Trouble
from apps.collectors.odoo.client import OdooClient
from apps.collectors.odoo.exchanges import JOB_WAITING
from apps.collectors.odoo.followed import FOLLOWED, HISTORY, JOBS, needed, schema_of
from apps.collectors.odoo.gathering import DENIED, FORMAT, Gatherer, at, check_page, linked
from apps.collectors.odoo.memory import Mark, Memory
from apps.collectors.odoo.settings import MODELS, OdooSettings

CONTENT_TYPE = "application/json; profile=odoo-batch"
#: ranges of ids compared in one round
COMPARISONS = 10
#: an open record that was due this long ago at most is still awaited when a first load finds it
RECENT = timedelta(days=1)
SECOND = timedelta(seconds=1)
#: hints are looked at again for so long: receipts become visible in another order than they came
LATE_HINTS = timedelta(seconds=10)
#: hints older than this count no more
HINTS = timedelta(hours=1)
#: days back to before any Odoo
EVER = 36_500
#: jobs looked at in one round
MOST_JOBS = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a window: the rows as they came, and with what belongs to them. at: when, by Odoo's clock; names: of the
    documents they name, where all of them will be wanted (a first load)."""

    rows: list[dict[str, Any]]
    records: list[dict[str, Any]]
    at: datetime
    more: bool
    names: dict[str, dict[str, str]] | None = None


class OdooReader:
    """One round of reading. ``refused``: models that could not be read, with the sentence why."""

    def __init__(
        self, client: OdooClient, settings: OdooSettings, memory: Memory, cursor: Mapping[str, Any], now: datetime
    ) -> None:
        self.client = client
        self.settings = settings
        self.memory = memory
        self.cursor: dict[str, Any] = copy.deepcopy(dict(cursor))
        self.windows: dict[str, dict[str, Any]] = self.cursor.setdefault("windows", {})
        self.now = now
        self.gatherer = Gatherer(client, settings, memory, now)
        self.models: list[str] = []
        #: model -> id -> when it was read in this round, by Odoo's clock
        self.fresh: dict[str, dict[int, datetime]] = {}
        #: asks Odoo for the next pages of two models at most while one is worked on
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="odoo")
        self.ahead: dict[str, Future[Page]] = {}

    @property
    def refused(self) -> dict[str, OdooError]:
        """What was not read and should have been: models of the settings, and what could be read before."""
        told = {*MODELS, *(self.settings.extras if self.settings.extras_chosen else ())}
        before = {model for model, window in self.windows.items() if "done" in window or not window.get("first")}
        return {
            model: error for model, error in self.gatherer.refused.items() if model in told or model in before - {JOBS}
        }

    def run(self) -> Iterator[Polled]:
        """Batches of changed records, a page of each model in turn. Raises `OdooError`."""
        try:
            yield from self._run()
        finally:
            self.pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> Iterator[Polled]:
        self._prepare()
        yield from self._hinted()
        turns = deque(self.models)
        while turns:
            model = turns.popleft()
            try:
                batches, more = self._fitting(partial(self._page, model))
            except OdooError as error:
                if error.trouble is not Trouble.RIGHTS:
                    raise
                self.gatherer.refuse(model, error)
                continue
            if more:
                turns.append(model)
            yield from batches
        try:
            yield from self._jobs()
        except OdooError as error:
            if error.trouble is not Trouble.RIGHTS:
                raise
            self.gatherer.refuse(JOBS, error)
        yield from self._reconcile()
        # what the user may not read, though Odoo describes its fields, is not asked for every minute either
        absent = self.cursor["absent"]["models"]
        absent += [one for one in self.gatherer.refused if one not in (*absent, *MODELS, *self.refused)]
        yield self._polled(b"")

    # -- what there is to read -----------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Asks which fields there are. What is not there, or not ours to read, is asked for again now and then."""
        wanted = (*self.settings.models, *self.settings.extras)
        absent: dict[str, Any] = self.cursor.get("absent") or {}
        again = timedelta(hours=self.settings.reconcile_hours)
        if self.settings.extras_chosen or not absent or at(absent["since"]) + again <= self.gatherer.server_time():
            absent = {"since": self.gatherer.server_time().strftime(FORMAT), "models": []}
        for model in needed(wanted):
            if model in absent["models"]:
                continue
            try:
                found = self.client.fields_of(model, FOLLOWED[model].fields)
            except OdooError as error:
                if error.trouble not in DENIED:
                    raise
                self.gatherer.refused[model] = error
                if model not in MODELS:
                    absent["models"].append(model)
                continue
            self.gatherer.schemas[model] = schema_of(found)
        self.cursor["absent"] = absent
        self.gatherer.tracked = HISTORY in self.settings.extras and HISTORY not in absent["models"]
        self.models = [one for one in FOLLOWED if one in wanted and one in self.gatherer.schemas and one != JOBS]
        # a lead whose records cannot be read leads nowhere
        self.models = [one for one in self.models if (FOLLOWED[one].leads_to or one) in self.gatherer.schemas]
        if "stock.picking" in self.gatherer.schemas:
            self.gatherer.learn_roles()

    def _fitting(self, work: Callable[[], tuple[list[Polled], bool]]) -> tuple[list[Polled], bool]:
        """Runs a page; when Odoo's reply is too large, again with a smaller one."""
        while True:
            try:
                return work()
            except OdooError as error:
                if error.trouble is not Trouble.LARGE or self.gatherer.limit == 1:
                    raise
                self.gatherer.limit = max(1, self.gatherer.limit // 4)

    # -- windows -------------------------------------------------------------------------------------------------------

    def _window(self, model: str) -> dict[str, Any]:
        """The window being read, or a new one that ends with the running second of Odoo's clock."""
        window = self.windows.setdefault(model, {})
        if "to" in window:
            return window
        end = self.gatherer.server_time() + SECOND
        if "done" in window:
            start = min(at(window["done"]), end) - timedelta(seconds=self.settings.overlap)
            window.pop("done")
        else:
            days = EVER if FOLLOWED[model].whole else self.settings.history_days
            start = end - timedelta(days=days)
            window |= {"since": start.strftime(FORMAT), "first": True}
        window |= {"from": start.strftime(FORMAT), "to": end.strftime(FORMAT), "after": 0}
        return window

    def _page(self, model: str) -> tuple[list[Polled], bool]:
        """Reads the next page of a model's window: (batches, whether the window has more)."""
        followed, window = FOLLOWED[model], self._window(model)
        first = bool(window.get("first"))
        page = self._next(model, window, first)
        if page.more:  # Odoo answers the next one while this one is worked on
            following = partial(self._fetch, model, {**window, "after": page.rows[-1]["id"]}, first)
            self.ahead[model] = self.pool.submit(following)
        model_read = followed.leads_to or model
        if followed.leads_to:
            records = self._led_to(model_read, {linked(row, followed.by) for row in page.rows} - {0})
            self._note(model_read, records, self.gatherer.server_time())
        else:
            records = page.records
            self._note(model_read, records, page.at)
        batches: list[Polled] = []
        if first and not followed.master:
            # what is over pages nobody; what is still to come is awaited like anything else
            since = (self.gatherer.server_time() - RECENT).strftime(FORMAT)
            over = [one for one in records if not is_ahead(model_read, one, since)]
            records = [one for one in records if is_ahead(model_read, one, since)]
            body, marks = self.gatherer.changed(model_read, over, history=False, names=page.names)
            if marks:  # with the cursor as it was: the page is done only with its second half
                batches.append(self._polled(body, model_read, marks, backfill=True))
        body, marks = self.gatherer.changed(model_read, records, names=page.names)
        if page.more:
            window["after"] = page.rows[-1]["id"]
        else:
            self.windows[model] = {"since": window.get("since"), "done": window["to"]}
        if body or marks or page.more or batches:
            batches.append(self._polled(body, model_read, marks))
        return batches, page.more

    def _next(self, model: str, window: Mapping[str, Any], first: bool) -> Page:
        """The page behind the window's position: the one asked for ahead, or asked for now. Raises `OdooError`."""
        ahead = self.ahead.pop(model, None)
        return ahead.result() if ahead else self._fetch(model, window, first)

    def _fetch(self, model: str, window: Mapping[str, Any], first: bool) -> Page:
        """Asks Odoo only: no database, so that a thread may run it. Raises `OdooError`."""
        followed, limit = FOLLOWED[model], self.gatherer.limit
        if followed.leads_to and first:  # the first load of records brings what belongs to them along
            return Page([], [], self.gatherer.server_time(), more=False)
        domain: list[Any] = [
            ["write_date", ">=", window["from"]],
            ["write_date", "<", window["to"]],
            ["id", ">", window["after"]],
            *map(list, followed.domain),
        ]
        fields = [followed.by] if followed.leads_to else self.gatherer.schemas[model].fields
        rows = self.client.search_read(model, domain, fields, limit)
        check_page(model, rows, window["after"])
        at_ = self.gatherer.server_time()
        records = [] if followed.leads_to else self.gatherer.completed(model, rows)
        names = self.gatherer.names(records) if first else None
        return Page(rows, records, at_, len(rows) >= limit, names)

    def _note(self, model: str, records: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """These records were read at that time of Odoo's clock."""
        self.fresh.setdefault(model, {}).update({record["id"]: now for record in records})

    def _led_to(self, model: str, ids: set[int]) -> list[dict[str, Any]]:
        """What changed lines belong to, but for records this round has read just now: what changed of them since is
        in the overlap of the next round, and read then."""
        since = self.gatherer.server_time() - timedelta(seconds=self.settings.overlap / 2)
        fresh = self.fresh.get(model, {})
        return self.gatherer.by_ids(model, sorted(id_ for id_ in ids if id_ not in fresh or fresh[id_] < since))

    # -- hints and jobs ------------------------------------------------------------------------------------------------

    def _hinted(self) -> Iterator[Polled]:
        """Reads again what Odoo's webhooks named since the last round."""
        last = self.cursor.get("hinted")
        since = max(datetime.fromisoformat(last), self.now - HINTS) if isinstance(last, str) else self.now - HINTS
        found = self.memory.hints("odoo_hook", self.memory.slug, since - LATE_HINTS)
        if not found or max(received for received, _ in found) <= since:
            return
        named = hints.gathered((body for _, body in found), self.models)
        for model, ids in named.items():
            if "done" not in self.windows.get(model, {}):
                continue  # before its first load is over everything would count as new
            try:
                yield from self._read_again(model, ids)
            except OdooError as error:
                if error.trouble not in (Trouble.RIGHTS, Trouble.LARGE):
                    raise  # else its windows find it, in smaller pages or not at all
        self.cursor["hinted"] = max(received for received, _ in found).isoformat()

    def _read_again(self, model: str, ids: list[int]) -> Iterator[Polled]:
        followed = FOLLOWED[model]
        if followed.leads_to:
            rows = self.client.search_read(model, [["id", "in", ids]], [followed.by], len(ids))
            model, ids = followed.leads_to, sorted({linked(row, followed.by) for row in rows} - {0})
        records = self.gatherer.by_ids(model, ids)
        self._note(model, records, self.gatherer.server_time())
        body, marks = self.gatherer.changed(model, records)
        if body or marks:
            yield self._polled(body, model, marks)

    def _jobs(self) -> Iterator[Polled]:
        """Queue jobs that failed or wait too long, and what became of those that did."""
        if JOBS not in self.gatherer.schemas or JOBS not in self.settings.extras:
            return
        fields = self.gatherer.schemas[JOBS].fields
        limit = (self.gatherer.server_time() - timedelta(minutes=self.settings.job_minutes)).strftime(FORMAT)
        waiting = [["state", "in", list(JOB_WAITING)], ["date_created", "<", limit]]
        rows = self.client.search_read(JOBS, [["state", "=", "failed"]], fields, MOST_JOBS, "id desc")
        rows += self.client.search_read(JOBS, waiting, fields, MOST_JOBS)
        records = self.gatherer.completed(JOBS, sorted(rows, key=lambda row: int(row["id"])))
        before = self.memory.open_of(JOBS) - {record["id"] for record in records}
        records += self.gatherer.by_ids(JOBS, sorted(before))
        body, marks = self.gatherer.changed(JOBS, [one for one in records if one.get("waits_since") or _settled(one)])
        gone = before - {record["id"] for record in records}
        first = not self.windows.get(JOBS)
        self.windows[JOBS] = {"done": self.gatherer.server_time().strftime(FORMAT)}
        if gone:
            batch = comparing.deletions(self.gatherer, JOBS, list(self.memory.of(JOBS, sorted(gone)).values()))
            yield self._polled(*batch)
        if body or marks:
            yield self._polled(body, JOBS, marks, backfill=first)

    # -- reconciling ---------------------------------------------------------------------------------------------------

    def _reconcile(self) -> Iterator[Polled]:
        """Compares ids and write_dates with what is remembered, a few pages in each round, all models in turn."""
        now = self.gatherer.server_time()
        state = self.cursor.setdefault("reconcile", {"done": now.strftime(FORMAT)})
        refused = self.gatherer.refused
        models = [one for one in self.models if one not in refused and not FOLLOWED[one].leads_to]
        if "done" in state:
            due = at(state["done"]) + timedelta(hours=self.settings.reconcile_hours)
            if now < due or not models:
                return
            state = self.cursor["reconcile"] = {"model": models[0], "after": 0}
        for _ in range(COMPARISONS):
            model, last = state["model"], None
            batches: list[comparing.Batch] = []
            if model in models:
                since = self.windows.get(model, {}).get("since") or "1970-01-01 00:00:00"
                batches, last = comparing.compare(self.gatherer, model, state["after"], since)
            for batch in batches[:-1]:
                yield self._polled(*batch)
            # only the last batch of a range moves on: a round that stops before it compares the range again
            following = models[models.index(model) + 1 :] if model in models else []
            if last is not None:
                state["after"] = last
            elif following:
                state |= {"model": following[0], "after": 0}
            else:
                state = self.cursor["reconcile"] = {"done": self.gatherer.server_time().strftime(FORMAT)}
            if batches:
                yield self._polled(*batches[-1])
            if "done" in state:
                return

    # -- small things --------------------------------------------------------------------------------------------------

    def _polled(self, body: bytes, model: str = "", marks: Sequence[Mark] = (), *, backfill: bool = False) -> Polled:
        memory = self.memory

        def remember() -> None:
            memory.keep(model, marks)

        return Polled(
            body=body,
            content_type=CONTENT_TYPE,
            cursor=copy.deepcopy(self.cursor),
            headers={"odoo-model": model, "odoo-version": self.client.server.version},
            backfill=backfill,
            remember=remember if marks else None,
        )


def _settled(job: Mapping[str, Any]) -> bool:
    """A job that is no longer only waiting: failed, done or cancelled."""
    return job.get("state") not in JOB_WAITING
