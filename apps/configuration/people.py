"""Users: rows from a configuration file and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.accounts.models import Team, User
from apps.configuration.rows import Refused, Row, find, find_maybe, lean, save
from apps.integrations.models import Partner, PartnerAccess


def user(row: Row) -> str:
    if (row["role"] == "partner") != bool(row.get("partner")):
        raise Refused("role", "a user of role partner needs 'partner', and only such a user may have one")
    names = ("first_name", "last_name", "email", "phone")
    values = {name: row.get(name, "") for name in names}
    values |= {"role": row["role"], "time_zone": row.get("time_zone", "UTC"), "is_staff": row["role"] == "admin"}
    outcome = save(User, {"username": row["username"]}, values)
    user = User.objects.get(username=row["username"])
    if outcome == "created":
        user.set_unusable_password()
        user.save(update_fields=["password"])
    teams = {find(Team, "teams", slug, slug=slug) for slug in row.get("teams", ())}
    if set(user.teams.all()) != teams:
        user.teams.set(teams)
        outcome = outcome or "changed"
    partner = find_maybe(Partner, row, "partner")
    known = PartnerAccess.objects.filter(user=user).first()
    if partner is None and known is not None:
        known.delete()
        return outcome or "changed"
    if partner is not None and (known is None or known.partner != partner):
        PartnerAccess.objects.update_or_create(user=user, defaults={"partner": partner})
        return outcome or "changed"
    return outcome


def users() -> Iterable[dict[str, Any]]:
    for user in User.objects.order_by("username").prefetch_related("teams").select_related("partner_access__partner"):
        access = getattr(user, "partner_access", None)
        yield lean(
            {
                "username": user.username,
                "first_name": user.first_name,
                "last_name": user.last_name,
                "email": user.email,
                "role": str(user.role),
                "teams": sorted(team.slug for team in user.teams.all()),
                "partner": access.partner.slug if access else None,
                "time_zone": user.time_zone,
                "phone": user.phone,
            },
            {"time_zone": "UTC"},
        )
