"""What the settings of all channels have in common, and whether the tower may reach a broker's address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

from django import forms
from django.core.exceptions import ValidationError

from apps.collectors.channels.reading import AUTO, CLOUDEVENTS, JSON
from apps.collectors.contract import PollFailed
from apps.core.outbound import Network, is_reachable, system_resolver

BATCH = 200
#: bytes of the messages of one receipt, beyond its first message: far below 10,000 events
BATCH_BYTES = 512 * 1024
FORMATS = [
    (AUTO, "Each message says (CloudEvents), else JSON"),
    (JSON, "JSON: by the mapping, or our own form"),
    (CLOUDEVENTS, "CloudEvents"),
]


class NetworksField(forms.CharField):
    """Networks in CIDR form: a list (configuration files) or text separated by commas, blanks or lines (the form)."""

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        if value in self.empty_values:
            return []
        parts = value.replace(",", " ").split() if isinstance(value, str) else value
        if not isinstance(parts, list):
            raise ValidationError("Write networks like 10.1.0.0/16.")
        try:
            return [str(ip_network(str(one))) for one in parts]
        except ValueError as error:
            raise ValidationError(f"{error} (write networks like 10.1.0.0/16).") from None

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value

    def run_validators(self, value: Any) -> None:
        """Checked in `to_python`."""


class ChannelForm(forms.Form):
    """Settings of every channel. The password is no setting: it is stored as a credential."""

    format = forms.ChoiceField(choices=FORMATS, initial=AUTO, required=False, label="Messages are")
    poll_seconds = forms.IntegerField(min_value=5, max_value=3600, initial=60, required=False, label="Read every (s)")
    batch_size = forms.IntegerField(
        min_value=1,
        max_value=1000,
        initial=BATCH,
        required=False,
        help_text="Most messages held at a time; they are kept by one commit and confirmed together",
    )
    allow_networks = NetworksField(
        required=False, label="Internal networks", help_text="Networks (CIDR) that may be reached though not public"
    )


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens. path: what stands behind the host, decoded, without its first slash."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}"


def read_address(url: str, ports: Mapping[str, int]) -> Address:
    """An address without user and password. ports: scheme -> its usual port. Raises ValidationError."""
    shown = " or ".join(f"{scheme}://host" for scheme in ports)
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise ValidationError(f"Give the address as {shown}.") from None
    if "@" in parts.netloc:
        raise ValidationError(
            "Leave user and password out of the address: the user has its own field, the password is stored as the credential."
        )
    if parts.scheme not in ports or not parts.hostname or parts.query or parts.fragment:
        raise ValidationError(f"Give the address as {shown}.")
    return Address(parts.scheme, parts.hostname, port or ports[parts.scheme], unquote(parts.path[1:]))


def checked(form: type[ChannelForm], raw: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the form cleans them; what is missing takes its initial value. Raises `PollFailed`."""
    bound = form(data=dict(raw))
    if not bound.is_valid():
        name, errors = next(iter(bound.errors.items()))
        raise PollFailed(f"The setting '{name}' is not usable: {' '.join(map(str, list(errors)))}", permanent=True)
    missing = {
        name: field.initial for name, field in bound.fields.items() if bound.cleaned_data[name] in (None, "", [])
    }
    return bound.cleaned_data | {name: value for name, value in missing.items() if value is not None}


def allow_of(settings: Mapping[str, Any]) -> list[Network]:
    return [ip_network(one) for one in settings["allow_networks"]]


def check_reach(hosts: Iterable[tuple[str, int]], allow: Sequence[Network]) -> None:
    """Refuses brokers at addresses the tower may not reach (`core.outbound`). Raises `PollFailed`."""
    for host, port in hosts:
        try:
            texts = [str(ip_address(host))]
        except ValueError:
            try:
                texts = system_resolver(host, port)
            except (OSError, UnicodeError):
                raise PollFailed(
                    f"The host name {host} could not be looked up. Check the address and the DNS."
                ) from None
        refused = [text for text in texts if not is_reachable(ip_address(text.partition("%")[0]), allow)]
        if refused:
            raise PollFailed(
                f"{host} stands for {refused[0]}, which is no public address. If this is meant, add its network to "
                "'Internal networks' in the settings.",
                permanent=True,
            )
