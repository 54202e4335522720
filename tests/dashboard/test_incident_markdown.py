"""What a runbook's text becomes: a few elements that are known, and never more than text."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.dashboard.incident_markdown import render


class _Elements(HTMLParser):
    """Every element and attribute of a fragment."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name == "href"]


POISON = st.sampled_from(
    [
        "<script>",
        "</p>",
        "[x](javascript:alert(1))",
        '[x](https://a.example/"onclick=x)',
        "**",
        "`",
        "```",
        "# ",
        "- ",
        "1. ",
        "\n",
        "&lt;",
        '"',
        "'",
    ]
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(POISON | st.text(max_size=12), max_size=20).map("".join))
def test_a_runbook_never_becomes_more_than_text(text: str) -> None:
    elements = _Elements(render(text))
    allowed = {"h3", "h4", "p", "ul", "ol", "li", "strong", "code", "pre"}
    for tag, names in elements.found:
        assert tag in allowed or tag == "a", tag
        assert names == (("href", "rel") if tag == "a" else ()), (tag, names)
    assert all(link.startswith(("https://", "http://")) for link in elements.links)


def test_a_runbook_reads_well() -> None:
    text = "# Title\nOne\ntwo\n\n- a\n- **b**\n\n1. `c`\n2) d\n```\n<x>\n```\n[e](https://e.example/x?a=1&b=2)"
    assert render(text) == (
        "<h3>Title</h3><p>One two</p><ul><li>a</li><li><strong>b</strong></li></ul><ol><li><code>c</code></li><li>d</li></ol>"
        "<pre><code>&lt;x&gt;</code></pre>"
        '<p><a href="https://e.example/x?a=1&amp;b=2" rel="noreferrer noopener">e</a></p>'
    )
