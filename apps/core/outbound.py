"""The one outbound HTTP door: every request the tower sends to an address somebody configured goes through here.

What it holds (reference: OWASP ASVS 5.0 1.3.6, 13.2.4-6, 15.3.2):

- only http and https, no user names in the address, no redirects;
- the name is resolved once; the connection goes to that very address, so a name that changes between check and use
  (DNS rebinding) changes nothing; TLS still checks the certificate against the name;
- addresses that are not public are refused, unless a network the caller was given explicitly (an internal Odoo) holds
  them. The list is our own: Python's `ipaddress.is_global` lets NAT64, 6to4, multicast and CGNAT through;
- time and size are bounded from the first byte to the last: one deadline for the whole exchange, so a reply that
  drips one byte a second ends too;
- no proxy, cookie, credential or netrc of the environment is used. Nothing is logged here.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

import certifi

from apps.core.addresses import NEVER, Address, Network, is_reachable, is_within, plain

__all__ = [
    *("Address", "Network", "OutboundFailed", "OutboundRefused", "RedirectRefused", "ReplyTooLarge", "Response"),
    *("check", "is_reachable", "look_up", "request", "system_resolver"),
]

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
MAX_BYTES = 1024 * 1024

#: host and port to the addresses they stand for, as text
Resolver = Callable[[str, int], Sequence[str]]


class OutboundRefused(Exception):
    """The tower does not send this request: the address is not one it may reach, or is no address. Never retried."""


class OutboundFailed(Exception):
    """The request was tried and brought no complete reply. ``permanent``: trying again will not help by itself."""

    def __init__(self, sentence: str, *, permanent: bool = False) -> None:
        super().__init__(sentence)
        self.permanent = permanent


class ReplyTooLarge(OutboundFailed):
    """The reply is larger than the caller takes."""


class RedirectRefused(OutboundFailed):
    """The server answered with a redirect; the tower follows none."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete reply. Header names are lower case; of a repeated header the last one counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Target:
    """A parsed address: ``host`` as the certificate knows it, ``path`` with its query, ``name`` for sentences."""

    tls: bool
    host: str
    port: int
    path: str
    authority: str

    @property
    def name(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}"


def system_resolver(host: str, port: int) -> list[str]:
    """Addresses of a host as the operating system knows them. Raises OSError."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def check(url: str, allow: Sequence[Network] = ()) -> None:
    """Refuses what `request` would refuse without asking anybody: no valid address, or a number it may not reach.

    Names are not looked up: what they stand for counts at the moment of sending. Raises OutboundRefused.
    """
    target = _parse(url)
    try:
        address = ip_address(target.host)
    except ValueError:
        return
    if is_within(plain(address), NEVER):
        raise OutboundRefused(f"{target.name} is an address the tower never reaches.")
    if allow and not is_reachable(address, allow):
        raise OutboundRefused(f"{target.name} is no public address and in none of the networks allowed.")


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout: float = TOTAL_SECONDS,
    max_bytes: int = MAX_BYTES,
    allow: Sequence[Network] = (),
    resolver: Resolver = system_resolver,
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Sends one request and reads the whole reply.

    timeout: seconds for everything (connecting takes at most 3 of them); max_bytes: of the reply's body;
    allow: networks that may be reached although they are not public; resolver, tls: for tests and private authorities.
    Any status except a redirect is returned as it came. Raises `OutboundRefused` and `OutboundFailed` with a sentence
    that names the host only, never the path, the headers or the body.
    """
    target = _parse(url)
    deadline = time.monotonic() + timeout
    addresses = _addresses(target, allow, resolver, min(CONNECT_SECONDS, timeout))
    connection = _connect(target, addresses, deadline, tls)
    try:
        return _exchange(connection, target, method, headers or {}, body, max_bytes)
    except TimeoutError:
        raise OutboundFailed(f"{target.name} did not answer completely within {timeout:g} s.") from None
    except http.client.IncompleteRead:
        raise OutboundFailed(f"The reply of {target.name} broke off.") from None
    except http.client.HTTPException as error:
        raise OutboundFailed(f"{target.name} did not answer in HTTP ({type(error).__name__}).") from None
    except OSError as error:
        raise OutboundFailed(f"The connection to {target.name} broke ({_reason(error)}).") from None
    finally:
        connection.hang_up()


def _parse(url: str) -> _Target:
    if any(c <= " " or c == "\x7f" or c == "\\" for c in url):
        raise OutboundRefused("The address holds blanks, control characters or backslashes.")
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        raise OutboundRefused("The address is no valid URL.") from None
    if parts.scheme not in ("http", "https"):
        raise OutboundRefused(
            f"Only http and https addresses are reached, not {parts.scheme or 'one without a scheme'}."
        )
    if "@" in parts.netloc:
        raise OutboundRefused("The address holds a user name or password; store them as credentials instead.")
    try:
        ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_host = ""
    if not ascii_host or "%" in ascii_host:
        raise OutboundRefused("The address has no valid host name.")
    tls = parts.scheme == "https"
    number = port if port is not None else (443 if tls else 80)
    if not 0 < number < 65536:
        raise OutboundRefused("The address has no valid port.")
    shown = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    authority = shown if number == (443 if tls else 80) else f"{shown}:{number}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii():
        raise OutboundRefused("The path of the address holds characters that must be percent-encoded.")
    return _Target(tls, ascii_host, number, path, authority)


def _addresses(target: _Target, allow: Sequence[Network], resolver: Resolver, seconds: float) -> list[Address]:
    """The addresses to try, in the resolver's order; those the tower may not reach are left out."""
    texts = _resolve(target, resolver, seconds)
    parsed: list[Address] = []
    for text in texts:
        try:
            address = ip_address(text)
        except ValueError:
            continue  # "fe80::1%eth0": link-local anyway
        address = plain(address)
        if address not in parsed:
            parsed.append(address)
    if not parsed:
        raise OutboundFailed(f"The host name of {target.name} stands for no usable address.")
    reachable = [address for address in parsed if is_reachable(address, allow)]
    if not reachable:
        raise OutboundRefused(
            f"{target.name} stands for {parsed[0]}, which is no public address. If this is meant, "
            "allow its network in the settings of the integration."
        )
    return reachable


def _resolve(target: _Target, resolver: Resolver, seconds: float) -> Sequence[str]:
    try:
        return [str(ip_address(target.host))]
    except ValueError:
        pass
    try:
        return look_up(target.host, target.port, seconds, resolver)
    except TimeoutError:
        raise OutboundFailed(f"Looking up the host name of {target.name} took longer than {seconds:g} s.") from None
    except (OSError, UnicodeError) as error:
        raise OutboundFailed(f"The host name of {target.name} could not be looked up ({_reason(error)}).") from None


def look_up(host: str, port: int, seconds: float, resolver: Resolver = system_resolver) -> list[str]:
    """Addresses of a host, or TimeoutError after so many seconds; whatever else the resolver raises."""
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(list(resolver(host, port)))
        except (OSError, UnicodeError) as error:
            found.append(error)

    # getaddrinfo knows no time limit: wait for it in a thread that nobody misses
    thread = threading.Thread(target=ask, daemon=True, name="resolve")
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError(f"no answer within {seconds:g} s")
    if isinstance(found[0], Exception):
        raise found[0]
    return list(found[0])


class _Bounded:
    """A connected socket of which every operation ends at one deadline. What http.client needs of a socket."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.deadline = deadline

    def arm(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("deadline passed")
        self.sock.settimeout(left)

    def sendall(self, data: Any) -> None:
        self.arm()
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self), 64 * 1024)

    def close(self) -> None:
        """http.client closes as soon as it has the headers of a last reply; the body is still to be read."""

    def hang_up(self) -> None:
        self.sock.close()


class _Incoming(io.RawIOBase):
    def __init__(self, bounded: _Bounded) -> None:
        self.bounded = bounded

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.bounded.arm()
        return self.bounded.sock.recv_into(buffer)


def _connect(target: _Target, addresses: Sequence[Address], deadline: float, tls: ssl.SSLContext | None) -> _Bounded:
    patience = min(time.monotonic() + CONNECT_SECONDS, deadline)
    last = "no address"
    for address in addresses:
        left = patience - time.monotonic()
        if left <= 0:
            break
        try:
            sock = socket.create_connection((str(address), target.port), timeout=left)
        except OSError as error:
            last = _reason(error)
            continue
        if not target.tls:
            return _Bounded(sock, deadline)
        return _Bounded(_secure(sock, target, deadline, tls or public_authorities()), deadline)
    raise OutboundFailed(f"{target.name} could not be reached ({last}).")


def _secure(sock: socket.socket, target: _Target, deadline: float, context: ssl.SSLContext) -> ssl.SSLSocket:
    try:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        return context.wrap_socket(sock, server_hostname=target.host)
    except ssl.SSLCertVerificationError as error:
        sock.close()
        raise OutboundFailed(
            f"The certificate of {target.name} is not valid: {error.verify_message}.", permanent=True
        ) from None
    except OSError as error:
        sock.close()
        raise OutboundFailed(f"No secure connection to {target.name} ({_reason(error)}).") from None


def public_authorities() -> ssl.SSLContext:
    """Certificates of the system's authorities (SSL_CERT_FILE counts) and of certifi; TLS 1.2 or newer."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _exchange(
    bounded: _Bounded, target: _Target, method: str, headers: Mapping[str, str], body: bytes, max_bytes: int
) -> Response:
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = bounded  # type: ignore[assignment]
    connection.auto_open = 0  # never connects by itself
    sent = {"accept-encoding": "identity", "connection": "close", "user-agent": "controltower"}
    sent |= {name.lower(): value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
    if body or method in ("POST", "PUT", "PATCH"):
        sent["content-length"] = str(len(body))
    try:
        connection.putrequest(method, target.path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("host", target.authority)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
    except (ValueError, http.client.InvalidURL):
        raise OutboundRefused("The request holds a header or path that HTTP does not allow.") from None
    reply = connection.getresponse()
    received = {name.lower(): value for name, value in reply.getheaders()}
    if 300 <= reply.status < 400:
        raise RedirectRefused(
            f"{target.name} answered with a redirect ({reply.status}); the tower follows none.", permanent=True
        )
    if received.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise OutboundFailed(f"{target.name} compressed its reply although it was asked not to.", permanent=True)
    return Response(reply.status, received, _read(reply, target, method, max_bytes))


def _read(reply: http.client.HTTPResponse, target: _Target, method: str, max_bytes: int) -> bytes:
    too_large = f"The reply of {target.name} is larger than {max_bytes} bytes."
    if reply.length is not None and reply.length > max_bytes:
        raise ReplyTooLarge(too_large, permanent=True)
    chunks: list[bytes] = []
    size = 0
    while chunk := reply.read1(64 * 1024):
        size += len(chunk)
        if size > max_bytes:
            raise ReplyTooLarge(too_large, permanent=True)
        chunks.append(chunk)
    if reply.length and method != "HEAD":  # what the server announced and did not send
        raise OutboundFailed(f"The reply of {target.name} broke off after {size} bytes.")
    return b"".join(chunks)


def _reason(error: Exception) -> str:
    """A few words on a network error, without the addresses and names the system may put into it."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS error").replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
