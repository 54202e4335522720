"""@names in what people write. Pure: no database, no clock."""

from __future__ import annotations

import re

#: an account name after an @ that begins a word; a full stop or comma after it belongs to the sentence
_NAME = re.compile(r"(?<![\w@.])@([\w.+-]{1,150})")
#: people told by one comment
MOST = 20


def names(text: str) -> list[str]:
    """Account names mentioned, each once, in order, at most `MOST`. "Ask @mara." names mara."""
    found = dict.fromkeys(name.rstrip(".-+") for name in _NAME.findall(text))
    return [name for name in found if name][:MOST]
