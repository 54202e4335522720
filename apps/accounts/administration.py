"""What every register in the Django admin shares: only administrators, every change audited, history never deleted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.accounts import audit
from apps.accounts.models import User
from apps.core import clock
from apps.core.policies import roles_of

_PLAIN = (str, int, float, bool, list, dict, Decimal, date, datetime, timedelta)


def facts(row: Model, names: Iterable[str]) -> dict[str, Any]:
    """The values of these fields of a row, related rows by their words."""
    values = {name: getattr(row, name, None) for name in names if name}
    return {name: value if value is None or isinstance(value, _PLAIN) else str(value) for name, value in values.items()}


class AdministratorsOnly:
    """Permissions by role, for admin pages and their inlines."""

    def _is_admin(self, request: HttpRequest) -> bool:
        return "admin" in roles_of(request.user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._is_admin(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_admin(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_admin(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_admin(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_admin(request)


def _who(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


class RegisterInline(AdministratorsOnly, admin.TabularInline):  # type: ignore[type-arg]
    """What hangs on a register's row (identifiers, accesses): may be taken away again; the record keeps that it was."""

    extra = 0


class RegisterAdmin(AdministratorsOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """May be seen, added to and changed by administrators. Nothing is deleted: what is not used any more is switched off."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        told = [("added", row) for row in formset.new_objects] + [("removed", row) for row in formset.deleted_objects]
        told += [("changed", row) for row, _ in formset.changed_objects]
        for word, row in told:
            name = row._meta.model_name
            audit.record(
                _who(request), f"{name}.{word}", f"{name}:{row}", None, {"of": str(form.instance)}, clock.now()
            )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        names = [name for name in form.changed_data if name not in ("password", "password1", "password2")]
        before = facts(type(obj)._default_manager.get(pk=obj.pk), names) if change else None
        super().save_model(request, obj, form, change)
        word = "changed" if change else "added"
        subject = f"{obj._meta.model_name}:{getattr(obj, 'slug', None) or obj}"
        audit.record(_who(request), f"{obj._meta.model_name}.{word}", subject, before, facts(obj, names), clock.now())


class HistoryAdmin(RegisterAdmin):
    """Versions and records: to be read. New versions come through `manage.py load_config`, so that they are checked."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
