"""The database's own door between partners: inside it the connection is a role that sees one partner (invariant 9)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

PORTAL_ROLE = "controltower_portal"


class NestedScope(RuntimeError):
    """A scope inside another: which partner's rows would one see?"""


@contextmanager
def partner_scope(partner_id: int) -> Iterator[None]:
    """Runs the queries inside as the portal role for one partner; read only. Finish all queries before leaving.

    SET LOCAL ends with the transaction (or savepoint) however it is left, so a pooled connection carries nothing over.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        before = cursor.fetchone()[0]
        if before == PORTAL_ROLE:
            raise NestedScope("already inside a partner's scope")
        cursor.execute("SELECT set_config('controltower.partner', %s, true)", [str(int(partner_id))])
        cursor.execute(f"SET LOCAL ROLE {PORTAL_ROLE}")
        yield
        # on an error the rollback restores the role by itself
        cursor.execute(f"SET LOCAL ROLE {connection.ops.quote_name(before)}")
        cursor.execute("SELECT set_config('controltower.partner', '', true)")
