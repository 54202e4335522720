"""Django's SMTP backend, with a limit on looking up names: a name server that hangs does not hang the sender.

Python's smtplib bounds every step of the conversation but not the look-up before it (getaddrinfo knows no limit).
"""

from __future__ import annotations

import platform
import smtplib
from typing import Any

from django.core.mail.backends import smtp
from django.core.mail.utils import DNS_NAME

from apps.core import outbound

#: seconds for the name of the mail server, and once for our own
NAME_SECONDS = 3.0


class _Bounded(smtplib.SMTP):
    """Connects to the addresses found within NAME_SECONDS; certificates are still checked against the name."""

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        last: OSError = OSError(f"{host} stands for no address")
        for address in outbound.look_up(host, port, NAME_SECONDS):
            try:
                return super()._get_socket(address, port, timeout)  # type: ignore[misc]
            except OSError as error:
                last = error
        raise last


class _BoundedTls(smtplib.SMTP_SSL, _Bounded):
    """Its socket is secured by SMTP_SSL and made by _Bounded."""


class EmailBackend(smtp.EmailBackend):
    @property
    def connection_class(self) -> Any:
        return _BoundedTls if self.use_ssl else _Bounded

    def open(self) -> bool | None:
        _know_our_name()
        return super().open()


def _know_our_name() -> None:
    """Django greets with our full name and looks it up once; when that takes too long, the short one does."""
    if not hasattr(DNS_NAME, "_fqdn"):
        short = platform.node() or "localhost"
        try:
            [name] = outbound.look_up(short, 0, NAME_SECONDS, lambda host, port: [DNS_NAME.get_fqdn()])
        except OSError:
            name = short
        DNS_NAME._fqdn = name
