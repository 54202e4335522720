"""Finds, opens and joins flows by the references events carry.

Every reference is a node; an event that names two references joins them, if a flow definition says such a pair means
something. The links only grow, so what belongs together does not depend on the order of arrival:

- references of one definition's ``identified_by`` that are joined are aliases: one flow owns them all;
- a flow's scope is its own references, what they ``follow``, and the scope of every child joined to it;
- a flow opens when an event of ``opened_by`` names it (or, for ``opened_by_parent``, when it is joined to a parent's flow).

Materialised as `FlowReference` rows. One correlator works at a time (an advisory lock until commit; ADR 0003): a
scope is read and written as one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from apps.flows import graph_sql
from apps.flows.canonical import Key
from apps.flows.definitions import Catalogue, Definition
from apps.flows.folding import RefTuple
from apps.flows.recording import NewEvent
from apps.flows.sets import Keys, columns, raw_cursor

LOCK = 0x746F776572  # "tower"
#: flow ids are taken from their sequence in blocks; what is left of a block is a gap
ID_BLOCK = 100


@dataclass(slots=True)
class Touched:
    """What a batch of events changed.

    existing: flow ids to project again; new: flow id -> definition slug, for flows to be written for the first time;
    merged: loser -> survivor.
    """

    existing: set[int] = field(default_factory=set)
    new: dict[int, str] = field(default_factory=dict)
    merged: dict[int, int] = field(default_factory=dict)

    @property
    def flows(self) -> list[int]:
        return sorted(self.existing | set(self.new))


class Correlator:
    """One batch's view of the reference graph, loaded as far as the batch reaches."""

    def __init__(self, catalogue: Catalogue, known: Mapping[tuple[str, Key], int] | None = None) -> None:
        self.catalogue = catalogue
        self.known = known or {}
        self.refs: dict[Key, RefTuple] = {}
        self.links: dict[Key, set[Key]] = defaultdict(set)
        self.loaded: set[Key] = set()
        self.asked: set[Key] = set()
        self.fresh: set[Key] = set()
        self.spare_ids: list[int] = []
        self.owner: dict[tuple[str, Key], int] = {}
        self.own: dict[int, set[Key]] = {}
        self.slug: dict[int, str] = {}
        self.touched = Touched()
        self.rescope: set[int] = set()
        self.claimed: set[Key] = set()

    def run(self, events: Sequence[NewEvent]) -> Touched:
        self._lock()
        opening = self._store(events)
        if not self.refs:
            self._bench(events, set())
            return self.touched
        batch_refs = set(self.refs)
        in_scope = self._scopes(batch_refs)
        self.touched.existing |= {flow for flows in in_scope.values() for flow in flows}
        self._open_and_merge(batch_refs, opening)
        self._rescope()
        self._bench(events, set(in_scope))
        return self.touched

    # -- storing references and links ------------------------------------------------------------------------------

    def _lock(self) -> None:
        with raw_cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%b)", [LOCK])

    def _store(self, events: Sequence[NewEvent]) -> dict[Key, set[str]]:
        """Writes references, their events and new links; returns reference -> types of events that name it."""
        pairs = self.catalogue.pairs
        by_kind = self.catalogue.by_kind
        carried: list[tuple[Key, int, object]] = []
        joined: set[tuple[Key, Key]] = set()
        opening: dict[Key, set[str]] = defaultdict(set)
        for new in events:
            named = [(ref.key, ref) for ref in new.incoming.event.references]
            for ref_id, ref in named:
                self.refs[ref_id] = (ref.kind, ref.issuer, ref.value)
                carried.append((ref_id, new.id, new.received_at))
                if ref.kind in by_kind:
                    opening[ref_id].add(new.type)
            for i, (a, ref_a) in enumerate(named):
                for b, ref_b in named[i + 1 :]:
                    if (ref_a.kind, ref_b.kind) in pairs and a != b:
                        joined.add((a, b) if a < b else (b, a))
        if not self.refs:
            return opening
        with raw_cursor() as cursor:
            rows = sorted((ref_id, *ref) for ref_id, ref in self.refs.items())
            cursor.execute(graph_sql.REFERENCES, columns(rows, 4), binary=True)
            graph_sql.NAMED.fill(cursor, set(carried))
            cursor.execute(graph_sql.EVENT_REFERENCES)
            if joined:
                cursor.execute(graph_sql.LINKS, columns(sorted(joined), 2), binary=True)
                for low, high in cursor.fetchall():
                    self.links[low].add(high)
                    self.links[high].add(low)
                    self.fresh |= {low, high}
        return opening

    def _scopes(self, refs: Iterable[Key]) -> dict[Key, set[int]]:
        """Which flows claim these references; notes owners. Flows whose links grew are marked to be scoped again."""
        found: dict[Key, set[int]] = defaultdict(set)
        with raw_cursor() as cursor:
            cursor.execute(graph_sql.SCOPES, [Keys(refs)], binary=True)
            owners: set[int] = set()
            for ref, flow, own in cursor.fetchall():
                found[ref].add(flow)
                if own:
                    owners.add(flow)
        grown = {flow for ref in self.fresh for flow in found.get(ref, ())}
        self.rescope |= grown
        self._load_own(owners | grown)
        return found

    def _load_own(self, flows: Iterable[int]) -> None:
        missing = [flow for flow in flows if flow not in self.own]
        if not missing:
            return
        with raw_cursor() as cursor:
            cursor.execute(graph_sql.OWN, [missing], binary=True)
            for flow, slug, ref, kind, issuer, value in cursor.fetchall():
                self.refs[ref] = (kind, issuer, value)
                self._own(flow, slug, ref)

    def _own(self, flow: int, slug: str, ref: Key) -> None:
        self.slug[flow] = slug
        self.own.setdefault(flow, set()).add(ref)
        self.owner[(slug, ref)] = flow

    def _load_links(self, refs: Iterable[Key]) -> None:
        missing = [ref for ref in refs if ref not in self.loaded]
        if not missing:
            return
        self.loaded.update(missing)
        with raw_cursor() as cursor:
            cursor.execute(graph_sql.NEIGHBOURS, [Keys(missing), Keys(missing)], binary=True)
            for ref, other, kind, issuer, value in cursor.fetchall():
                self.refs[other] = (kind, issuer, value)
                self.links[ref].add(other)
                self.links[other].add(ref)

    # -- opening and merging ---------------------------------------------------------------------------------------

    def _open_and_merge(self, batch: set[Key], opening: dict[Key, set[str]]) -> None:
        """Works outward from the batch's references until no flow opens or merges any more."""
        # a reference that has its flows and no new link cannot open or merge anything
        frontier = {ref for ref in batch if ref in self.fresh or not self._settled(ref)}
        while frontier:
            self._load_links(frontier)
            around = {n for ref in frontier for n in self.links[ref] if self.refs[n][0] in self.catalogue.by_kind}
            self._load_links({n for n in around if self._is_alias(n)})
            self._learn_owners(frontier | around)
            grown: set[Key] = set()
            for ref in sorted(frontier):
                for definition in self.catalogue.by_kind[self.refs[ref][0]]:
                    grown |= self._settle(definition, ref, opening)
            # a flow that opened or gained a reference may open its children and merge its aliases
            frontier = {
                n for ref in grown for n in (ref, *self.links[ref]) if self.refs[n][0] in self.catalogue.by_kind
            }

    def _settled(self, ref: Key) -> bool:
        return all(
            (definition.slug, ref) in self.owner for definition in self.catalogue.by_kind.get(self.refs[ref][0], ())
        )

    def _is_alias(self, ref: Key) -> bool:
        """Whether some definition knows this kind of reference beside others."""
        return any(len(definition.rank) > 1 for definition in self.catalogue.by_kind[self.refs[ref][0]])

    def _learn_owners(self, refs: set[Key]) -> None:
        missing = refs - self.asked
        if not missing:
            return
        self.asked |= missing
        with raw_cursor() as cursor:
            cursor.execute(graph_sql.SCOPES + " AND own", [Keys(missing)], binary=True)
            self._load_own({flow for _, flow, _ in cursor.fetchall()})

    def _settle(self, definition: Definition, ref: Key, opening: dict[Key, set[str]]) -> set[Key]:
        """Brings the alias cluster of ``ref`` under one flow if there is reason for one; returns newly owned references."""
        cluster = self._cluster(definition, ref)
        flows = sorted({self.owner[(definition.slug, r)] for r in cluster if (definition.slug, r) in self.owner})
        flows = sorted({self._survivor(flow) for flow in flows})
        if not flows:
            if not (self._opened(definition, cluster, opening) or self._has_parent(definition, cluster)):
                return set()
            flow = self._new_flow(definition.slug, cluster)
        else:
            flow = flows[0]
            for loser in flows[1:]:
                self._merge(loser, flow)
        gained = {r for r in cluster if self.owner.get((definition.slug, r)) != flow}
        if not gained:
            return set()
        for r in gained:
            self._own(flow, definition.slug, r)
        self.rescope.add(flow)
        return gained

    def _cluster(self, definition: Definition, ref: Key) -> set[Key]:
        cluster, edge = {ref}, {ref}
        while edge:
            self._load_links(edge)
            edge = {n for r in edge for n in self.links[r] if self.refs[n][0] in definition.rank} - cluster
            cluster |= edge
        if len(cluster) > 1:
            self._learn_owners(cluster)
        return cluster

    def _opened(self, definition: Definition, cluster: set[Key], opening: dict[Key, set[str]]) -> bool:
        return any(not definition.opened_by.isdisjoint(opening.get(ref, ())) for ref in cluster)

    def _has_parent(self, definition: Definition, cluster: set[Key]) -> bool:
        if not definition.opened_by_parent:
            return False
        around = {n for ref in cluster for n in self.links[ref]}
        return any((slug, n) in self.owner for slug in definition.parents for n in around)

    def _new_flow(self, slug: str, cluster: set[Key]) -> int:
        """A fresh id, or in a rebuild the id the flow had."""
        had = sorted(self.known[(slug, ref)] for ref in cluster if (slug, ref) in self.known)
        if had:
            self.touched.existing.add(had[0])
            self.own.setdefault(had[0], set())
            self.slug[had[0]] = slug
            return had[0]
        if not self.spare_ids:
            with raw_cursor() as cursor:
                cursor.execute(graph_sql.FLOW_IDS, [ID_BLOCK])
                self.spare_ids = sorted((row[0] for row in cursor.fetchall()), reverse=True)
        flow = self.spare_ids.pop()
        self.touched.new[flow] = slug
        self.own[flow] = set()
        self.slug[flow] = slug
        return flow

    def _survivor(self, flow: int) -> int:
        while flow in self.touched.merged:
            flow = self.touched.merged[flow]
        return flow

    def _merge(self, loser: int, survivor: int) -> None:
        for ref in self.own.pop(loser, ()):
            self._own(survivor, self.slug[survivor], ref)
        self.rescope.add(survivor)
        self.rescope.discard(loser)
        if loser in self.touched.new:
            del self.touched.new[loser]
        else:
            self.touched.merged[loser] = survivor
            self.touched.existing.discard(loser)

    # -- scopes ----------------------------------------------------------------------------------------------------

    def _rescope(self) -> None:
        """Writes scope rows and parent links of every flow whose links grew."""
        flows = sorted(self._survivor(flow) for flow in self.rescope)
        if self.touched.merged:
            self._drop_merged()
        if not flows:
            return
        rows: set[tuple[Key, int, bool]] = set()
        links: set[tuple[int, int]] = set()
        scopes = self._scopes_of(flows)
        for flow, (scope, children) in scopes.items():
            own = self.own[flow]
            rows |= {(ref, flow, ref in own) for ref in scope}
            links |= {(flow, child) for child in children}
            links |= {(parent, flow) for parent in self._parents(flow)}
        self.claimed |= {ref for ref, _, _ in rows}
        with raw_cursor() as cursor:
            cursor.execute(graph_sql.ADD_SCOPE, columns(sorted(rows), 3), binary=True)
            if links:
                cursor.execute(graph_sql.ADD_LINKS, columns(sorted(links), 2), binary=True)
        self.touched.existing |= set(flows) - set(self.touched.new)

    def _scopes_of(self, flows: Sequence[int]) -> dict[int, tuple[set[Key], set[int]]]:
        """flow -> (references in scope, flows of direct children), breadth first, all flows together."""
        found: dict[int, tuple[set[Key], set[int]]] = {}
        edges: dict[tuple[int, str], set[Key]] = {}
        for flow in flows:
            found[flow] = (set(self.own[flow]), set())
            edges[(flow, self.slug[flow])] = set(self.own[flow])
        while edges:
            self._load_links({ref for refs in edges.values() for ref in refs})
            self._learn_owners({n for refs in edges.values() for ref in refs for n in self.links[ref]})
            following: dict[tuple[int, str], set[Key]] = defaultdict(set)
            for (flow, slug), refs in edges.items():
                definition = self.catalogue.active[slug]
                scope, children = found[flow]
                around = {n for ref in refs for n in self.links[ref]}
                aliases = (
                    {n for n in around if self.refs[n][0] in definition.rank} if slug != self.slug[flow] else set()
                )
                following[(flow, slug)] |= aliases - scope
                scope |= aliases | {n for n in around if self.refs[n][0] in definition.follows}
                for child in self.catalogue.children.get(slug, ()):
                    members = {n for n in around if self.refs[n][0] in child.rank}
                    following[(flow, child.slug)] |= members - scope
                    scope |= members
                    if slug == self.slug[flow]:
                        owners = (self.owner.get((child.slug, n)) for n in members)
                        children |= {self._survivor(owner) for owner in owners if owner is not None}
            edges = {place: refs for place, refs in following.items() if refs}
        return found

    def _parents(self, flow: int) -> set[int]:
        definition = self.catalogue.active[self.slug[flow]]
        around = {n for ref in self.own[flow] for n in self.links[ref]}
        owners = (self.owner.get((slug, n)) for slug in definition.parents for n in around)
        return {self._survivor(owner) for owner in owners if owner is not None}

    def _drop_merged(self) -> None:
        losers = sorted(self.touched.merged)
        with raw_cursor() as cursor:
            cursor.execute("DELETE FROM flows_flowreference WHERE flow_id = ANY(%b::bigint[])", [losers])
            cursor.execute(
                "DELETE FROM flows_flowlink WHERE parent_id = ANY(%b::bigint[]) OR child_id = ANY(%b::bigint[])",
                [losers, losers],
            )

    # -- the bench -------------------------------------------------------------------------------------------------

    def _bench(self, events: Sequence[NewEvent], in_scope: set[Key]) -> None:
        """Puts events that no flow claims on the orphan bench, and takes off those a new scope claims."""
        homes = in_scope | self.claimed
        rows = [
            (new.id, new.received_at, new.incoming.integration_id, new.type, new.incoming.received_at)
            for new in events
            # what names nothing (a summary, a depth) waits for nobody
            if new.incoming.event.references and not any(ref.key in homes for ref in new.incoming.event.references)
        ]
        with raw_cursor() as cursor:
            if self.claimed:
                cursor.execute(graph_sql.ORPHANS_FOUND, [Keys(sorted(self.claimed))], binary=True)
            if rows:
                cursor.execute(graph_sql.ORPHANS, columns(sorted(rows), 5), binary=True)


def correlate(
    events: Sequence[NewEvent], catalogue: Catalogue, known: Mapping[tuple[str, Key], int] | None = None
) -> Touched:
    """Joins newly recorded events to flows inside the caller's transaction.

    known: (definition slug, identity reference) -> flow id, for a rebuild that keeps the ids flows had.
    """
    return Correlator(catalogue, known).run(events)
