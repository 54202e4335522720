"""The outbound door: what it refuses to reach, and how it ends with servers that misbehave."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from apps.core import outbound
from apps.core.outbound import OutboundFailed, OutboundRefused, RedirectRefused, ReplyTooLarge, is_reachable, request

LOOPBACK = [ip_network("127.0.0.0/8")]


class Server:
    """Answers every connection by handing it to ``answer`` after the request's head was read. Counts connections."""

    def __init__(self, answer: Callable[[socket.socket, bytes], None], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.tls = tls
        self.connections = 0
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(sock,), daemon=True).start()

    def _one(self, sock: socket.socket) -> None:
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            sock.settimeout(5)
            head = b""
            while b"\r\n\r\n" not in head:
                part = sock.recv(65536)
                if not part:
                    return
                head += part
            self.requests.append(head)
            self.answer(sock, head)
        except OSError:
            pass
        finally:
            sock.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(answer: bytes | Callable[[socket.socket, bytes], None], tls: ssl.SSLContext | None = None) -> Server:
        if isinstance(answer, bytes):
            reply = answer
            server = Server(lambda sock, head: sock.sendall(reply), tls)
        else:
            server = Server(answer, tls)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Two: a\r\nx-two: b\r\n\r\nhello"

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_that_are_not_public_are_refused_before_a_connection(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket, "create_connection", never)
    host = f"[{address}]" if ":" in address else address
    for url, resolver in (
        (f"http://{host}/", outbound.system_resolver),
        ("http://partner.example/", lambda h, p: [address]),
    ):
        with pytest.raises(OutboundRefused, match="no public address"):
            request("GET", url, resolver=resolver)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1::1", "2a00:1450:4001::1", "1.1.1.1"])
def test_public_addresses_are_reachable(address: str) -> None:
    assert is_reachable(ip_address(address))


@given(st.integers(0, 2**32 - 1))
def test_python_never_knows_a_private_ipv4_that_we_do_not(number: int) -> None:
    address = IPv4Address(number)
    if is_reachable(address):
        assert not any([address.is_private, address.is_multicast, address.is_reserved, address.is_link_local])


@given(st.integers(0, 2**128 - 1))
def test_python_never_knows_a_private_ipv6_that_we_do_not(number: int) -> None:
    address = IPv6Address(number)
    if is_reachable(address) and address.ipv4_mapped is None:
        assert not any([address.is_private, address.is_multicast, address.is_site_local, address.sixtofour])


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1", "ff02::1", "::"])
def test_metadata_link_local_and_multicast_stay_closed_whatever_is_allowed(address: str) -> None:
    assert not is_reachable(ip_address(address), [ip_network("0.0.0.0/0"), ip_network("::/0")])


def test_an_allowance_opens_its_network_only(serve: Callable[..., Server]) -> None:
    server = serve(OK)
    with pytest.raises(OutboundRefused):
        request("GET", server.url, allow=[ip_network("10.0.0.0/8")])
    assert server.connections == 0
    assert request("GET", server.url, allow=LOOPBACK).body == b"hello"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "partner.example",
        "//partner.example/",
        "ftp://partner.example/",
        "file:///etc/passwd",
        "gopher://partner.example/",
        "json://127.0.0.1:6379",
        "http://",
        "http:///path",
        "http://user:secret@partner.example/",
        "http://partner.example@127.0.0.1/",
        "http://partner.example:0/",
        "http://partner.example:70000/",
        "http://partner.example:port/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://partner.example\\@127.0.0.1/",
        "http://partner.example/a b",
        "http://partner.example/\r\nHost: other",
        "http://partner.example/\x00",
        "http://partner..example/",
        "http://" + "a" * 64 + ".example/",
        "http://partner.example/ä",
    ],
)
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(OutboundRefused):
        request("GET", url, resolver=lambda host, port: ["93.184.216.34"])


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "LOCALHOST.", "⑫７.0.0.1"]
)
def test_other_spellings_of_loopback_end_at_the_same_wall(host: str) -> None:
    with pytest.raises((OutboundRefused, OutboundFailed)):
        request("GET", f"http://{host}/")


def test_a_name_that_changes_between_check_and_use_changes_nothing(serve: Callable[..., Server]) -> None:
    inside = serve(OK)
    answers = iter([["203.0.113.1"], ["127.0.0.1"]])
    with pytest.raises(OutboundRefused):
        request("GET", f"http://rebind.example:{inside.port}/", resolver=lambda h, p: next(answers))
    assert inside.connections == 0
    asked: list[str] = []

    def once(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    assert request("GET", f"http://rebind.example:{inside.port}/", resolver=once, allow=LOOPBACK).status == 200
    assert asked == ["rebind.example"]
    assert b"host: rebind.example:%d" % inside.port in inside.requests[0].lower()


def test_of_several_addresses_only_reachable_ones_are_tried(serve: Callable[..., Server]) -> None:
    server = serve(OK)
    reply = request(
        "GET",
        f"http://mixed.example:{server.port}/",
        resolver=lambda h, p: ["10.9.9.9", "::1", "127.0.0.2", "127.0.0.1"],
        allow=[ip_network("127.0.0.0/24")],
    )
    assert reply.body == b"hello"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(serve: Callable[..., Server], status: int) -> None:
    target = serve(OK)
    server = serve(b"HTTP/1.1 %d Go\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n" % (status, target.url.encode()))
    with pytest.raises(RedirectRefused, match="redirect") as caught:
        request("POST", server.url, body=b"x", allow=LOOPBACK)
    assert caught.value.permanent
    assert target.connections == 0


@pytest.mark.parametrize("length", [b"content-length: 101\r\n", b""])
def test_replies_are_bounded_with_and_without_announced_length(serve: Callable[..., Server], length: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"
    with pytest.raises(ReplyTooLarge):
        request("GET", serve(head + b"x" * 101).url, allow=LOOPBACK, max_bytes=100)
    fits = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100
    assert len(request("GET", serve(fits).url, allow=LOOPBACK, max_bytes=100).body) == 100


def test_an_endless_chunked_reply_is_cut(serve: Callable[..., Server]) -> None:
    def endless(sock: socket.socket, head: bytes) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            sock.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")

    with pytest.raises(ReplyTooLarge):
        request("GET", serve(endless).url, allow=LOOPBACK, max_bytes=100_000)


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nx-slow: "])
def test_a_dripping_server_is_left_at_the_deadline(serve: Callable[..., Server], before: bytes) -> None:
    def drip(sock: socket.socket, head: bytes) -> None:
        sock.sendall(before)
        for _ in range(200):
            sock.sendall(b"H")
            time.sleep(0.05)

    started = time.monotonic()
    with pytest.raises(OutboundFailed, match=r"within 0\.4 s") as caught:
        request("GET", serve(drip).url, allow=LOOPBACK, timeout=0.4)
    assert time.monotonic() - started < 3
    assert not caught.value.permanent


def test_a_silent_server_is_left_at_the_deadline(serve: Callable[..., Server]) -> None:
    release = threading.Event()
    started = time.monotonic()
    with pytest.raises(OutboundFailed, match=r"within 0\.3 s"):
        request("GET", serve(lambda sock, head: release.wait(4)).url, allow=LOOPBACK, timeout=0.3)
    release.set()
    assert time.monotonic() - started < 3


def test_a_slow_resolver_is_left_too() -> None:
    release = threading.Event()

    def slow(host: str, port: int) -> list[str]:
        release.wait(5)
        return ["93.184.216.34"]

    with pytest.raises(OutboundFailed, match="took longer"):
        request("GET", "http://slow.example/", resolver=slow, timeout=0.2)
    release.set()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", "broke off"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo", "broke off"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "HTTP|broke"),
        (b"220 mail.example ESMTP\r\n", "HTTP"),
        (b"", "HTTP|broke"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n", "HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b", "compressed"),
    ],
)
def test_broken_replies_fail_with_a_sentence(serve: Callable[..., Server], reply: bytes, words: str) -> None:
    with pytest.raises(OutboundFailed, match=words):
        request("GET", serve(reply).url, allow=LOOPBACK)


def test_a_closed_port_and_an_unknown_name_are_temporary() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(OutboundFailed, match="connection refused") as caught:
        request("GET", f"http://127.0.0.1:{port}/", allow=LOOPBACK)
    assert not caught.value.permanent

    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(OutboundFailed, match="could not be looked up"):
        request("GET", "http://nowhere.example/", resolver=unknown)


def test_what_is_sent(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    server = serve(OK)
    reply = request(
        "POST", server.url + "json?a=1#part", headers={"X-A": "1", "Host": "other"}, body=b"{}", allow=LOOPBACK
    )
    assert reply.headers["x-two"] == "b"
    head = server.requests[0].decode()
    assert head.startswith("POST /json?a=1 HTTP/1.1\r\n")
    assert f"host: 127.0.0.1:{server.port}\r\n" in head
    assert "content-length: 2\r\n" in head
    assert "other" not in head
    assert "part" not in head


@pytest.mark.parametrize("headers", [{"x": "a\r\ny: b"}, {"x\r\ny": "b"}, {"x": "a\nb"}, {"x": "ü\u20ac"}])
def test_headers_cannot_be_smuggled(serve: Callable[..., Server], headers: dict[str, str]) -> None:
    server = serve(OK)
    with pytest.raises(OutboundRefused, match="header"):
        request("GET", server.url, headers=headers, allow=LOOPBACK)


def test_sentences_name_the_host_only(serve: Callable[..., Server]) -> None:
    server = serve(b"HTTP/1.1 302 Go\r\nlocation: http://x/?token=canary\r\n\r\n")
    with pytest.raises(OutboundFailed) as caught:
        request("GET", server.url + "?token=canary", headers={"authorization": "bearer canary"}, allow=LOOPBACK)
    assert "canary" not in str(caught.value)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server context with a certificate for odoo.example, client context that trusts it)."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "odoo.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("odoo.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))


def test_tls_checks_the_name_though_it_connects_to_the_address(
    serve: Callable[..., Server], authority: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server_side, client_side = authority
    asked: list[str | None] = []
    server_side.sni_callback = lambda sock, name, context: asked.append(name)
    server = serve(OK, tls=server_side)

    def ask(host: str, tls: ssl.SSLContext | None) -> outbound.Response:
        return request(
            "GET", f"https://{host}:{server.port}/", resolver=lambda h, p: ["127.0.0.1"], allow=LOOPBACK, tls=tls
        )

    assert ask("odoo.example", client_side).body == b"hello"
    assert asked == ["odoo.example"]
    with pytest.raises(OutboundFailed, match="certificate") as caught:
        ask("other.example", client_side)
    assert caught.value.permanent
    with pytest.raises(OutboundFailed, match="certificate"):
        ask("odoo.example", None)
    with pytest.raises(OutboundFailed, match="secure connection"):
        request("GET", f"https://127.0.0.1:{serve(OK).port}/", allow=LOOPBACK)
