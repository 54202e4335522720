"""A runbook's text as HTML: headings, lists, numbered steps, bold, code and links. Everything else is text. Pure.

Whatever is written, only these elements come out: h3 h4 p ul ol li strong code pre a (to http and https addresses).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_BULLET = re.compile(r"\s*[-*]\s+(.*)")
_NUMBER = re.compile(r"\s*\d{1,3}[.)]\s+(.*)")
_HEADING = re.compile(r"(#{1,4})\s+(.*)")
#: code first, so that nothing inside it counts
_INLINE = re.compile(r"`([^`\n]+)`|\*\*([^*\n]+)\*\*|\[([^\]\n]+)\]\((https?://[^\s()<>\"']+)\)")


def render(text: str) -> SafeString:
    """Never raises; the result is safe in a page."""
    return mark_safe("".join(_blocks(text.replace("\r\n", "\n").split("\n"))))


def _blocks(lines: list[str]) -> Iterator[str]:
    place = 0
    while place < len(lines):
        line = lines[place]
        if not line.strip():
            place += 1
        elif line.strip().startswith("```"):
            end = next((n for n in range(place + 1, len(lines)) if lines[n].strip() == "```"), len(lines))
            code = "\n".join(lines[place + 1 : end])
            yield f"<pre><code>{escape(code)}</code></pre>"
            place = end + 1
        elif heading := _HEADING.fullmatch(line):
            level = 3 if len(heading[1]) == 1 else 4
            yield f"<h{level}>{_inline(heading[2])}</h{level}>"
            place += 1
        elif _BULLET.fullmatch(line) or _NUMBER.fullmatch(line):
            kind, pattern = ("ul", _BULLET) if _BULLET.fullmatch(line) else ("ol", _NUMBER)
            items = []
            while place < len(lines) and (item := pattern.fullmatch(lines[place])):
                items.append(f"<li>{_inline(item[1])}</li>")
                place += 1
            yield f"<{kind}>{''.join(items)}</{kind}>"
        else:
            words = []
            while place < len(lines) and _is_words(lines[place]):
                words.append(lines[place].strip())
                place += 1
            yield f"<p>{_inline(' '.join(words))}</p>"


def _is_words(line: str) -> bool:
    block = (
        line.strip().startswith("```") or _HEADING.fullmatch(line) or _BULLET.fullmatch(line) or _NUMBER.fullmatch(line)
    )
    return bool(line.strip()) and not block


def _inline(text: str) -> str:
    parts: list[str] = []
    at = 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[at : found.start()]))
        code, bold, label, address = found.groups()
        if code is not None:
            parts.append(f"<code>{escape(code)}</code>")
        elif bold is not None:
            parts.append(f"<strong>{escape(bold)}</strong>")
        else:
            parts.append(f'<a href="{escape(address)}" rel="noreferrer noopener">{escape(label)}</a>')
        at = found.end()
    parts.append(escape(text[at:]))
    return "".join(parts)
