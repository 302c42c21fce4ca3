"""Words that stand for a whole class, such as any number, share one token."""

from __future__ import annotations

import re

NUMBER, URL = "[NUM]", "[URL]"

# Groups of three digits are parted by one sign throughout, which is not that of the decimals: 1,000,000.5 or 1.000,5.
NUMERAL = re.compile(
    r"[+\-−±]?"
    r"(?:(?:\d+|\d{1,3}(?:(?P<between>[.,'’\s])\d{3})(?:(?P=between)\d{3})*)(?:(?!(?P=between))[.,]\d+)?|[.,]\d+)"
    r"[%‰]?"
)
ADDRESS = re.compile(
    r"<?(?:(?:[a-z][a-z0-9+.-]*://|www\.|mailto:)\S+|[^\s@<>]+@[^\s@<>]+\.[^\W\d_]{2,}>?)", re.IGNORECASE
)


def normalized(word: str) -> str:
    """``[NUM]`` for a numeral, ``[URL]`` for an address of the web or of electronic mail, any other word as it is.

    A numeral is an integer or a decimal number, with or without thousands separators, a sign and a percent sign.
    Whatever else has digits stays a word: ordinals (3rd) and decades (1990s) are other parts of speech than numbers,
    and times, dates, fractions and telephone numbers have other neighbours. An address begins with a scheme
    (http://, mailto:) or www., or is of the form name@host.domain; a bare host (yahoo.com) is more often a name.
    """
    if NUMERAL.fullmatch(word):
        return NUMBER
    return URL if ADDRESS.fullmatch(word) else word
