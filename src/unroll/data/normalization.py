"""Replacement of numerals and addresses with class tokens."""

from __future__ import annotations

import re

NUMBER, URL = "[NUM]", "[URL]"

# Groups of three digits use one separator throughout, which differs from the decimal sign: 1,000,000.5 or 1.000,5.
NUMERAL = re.compile(
    r"[+\-−±]?"
    r"(?:(?:\d+|\d{1,3}(?:(?P<between>[.,'’\s])\d{3})(?:(?P=between)\d{3})*)(?:(?!(?P=between))[.,]\d+)?|[.,]\d+)"
    r"[%‰]?"
)
ADDRESS = re.compile(
    r"<?(?:(?:[a-z][a-z0-9+.-]*://|www\.|mailto:)\S+|[^\s@<>]+@[^\s@<>]+\.[^\W\d_]{2,}>?)", re.IGNORECASE
)


def normalized(word: str) -> str:
    """Replace a numeral with ``[NUM]`` and a URL or e-mail address with ``[URL]``; other words are unchanged.

    A numeral is an integer or a decimal number, optionally with thousands separators, a sign and a percent sign. Other
    words with digits are kept: ordinals (3rd) and decades (1990s) are not the same part of speech as numbers, and
    times, dates, fractions and telephone numbers occur in other contexts. An address starts with a scheme (http://,
    mailto:) or www., or has the form name@host.domain; a bare host (yahoo.com) is more often a name.
    """
    if NUMERAL.fullmatch(word):
        return NUMBER
    return URL if ADDRESS.fullmatch(word) else word
