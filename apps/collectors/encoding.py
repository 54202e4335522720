"""Content codings of a delivery (RFC 9110 section 8.4): bounded, so that a bomb stops at the limit. Pure."""

from __future__ import annotations

import zlib

GZIP_MAGIC = b"\x1f\x8b"
SUPPORTED = "gzip, deflate, identity"
_STEP = 64 * 1024


class TooLarge(ValueError):
    """The body is larger than allowed once it is expanded."""


class Broken(ValueError):
    """The body is not what its Content-Encoding says: truncated, damaged, or with bytes after its end."""


class Unsupported(ValueError):
    """A coding we do not take, or several on top of each other."""


def expand(body: bytes, coding: str, limit: int) -> bytes:
    """The body without its content coding, at most ``limit`` bytes.

    Raises `TooLarge`, `Broken` or `Unsupported`. gzip may have several members (RFC 1952); deflate is taken with and
    without the zlib wrapper, since senders differ.
    """
    name = coding.strip().lower()
    if name in ("", "identity"):
        if len(body) > limit:
            raise TooLarge(f"{len(body)} bytes, {limit} allowed")
        return body
    if name in ("gzip", "x-gzip"):
        return _expand(body, limit, zlib.MAX_WBITS | 16, members=True)
    if name == "deflate":
        wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        return _expand(body, limit, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, members=False)
    raise Unsupported(f"Content-Encoding {name[:40]!r} is not taken; send {SUPPORTED}")


def _expand(body: bytes, limit: int, window: int, *, members: bool) -> bytes:
    parts: list[bytes] = []
    size = 0
    rest = body
    while True:
        engine = zlib.decompressobj(window)
        while not engine.eof:
            try:
                part = engine.decompress(rest, min(_STEP, limit - size + 1))
            except zlib.error as error:
                raise Broken("the compressed body is damaged") from error
            size += len(part)
            if size > limit:
                raise TooLarge(f"more than {limit} bytes when expanded")
            parts.append(part)
            rest = engine.unconsumed_tail
            if not engine.eof and not part and not rest:
                raise Broken("the compressed body ends too early")
        rest = engine.unused_data
        if not rest:
            return b"".join(parts)
        if not (members and rest.startswith(GZIP_MAGIC)):
            raise Broken("there are bytes after the end of the compressed body")
