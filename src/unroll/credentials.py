"""User names and passwords in URIs: known to the processes of a command, and neither saved nor shown.

A setting holds the public part of a URI. The whole of it is kept in the environment, which the processes that this one
starts inherit, and is put together again where a connection is opened.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

KEPT = "UNROLL_CREDENTIALS"  # variable that has the whole URI of each public one; other users cannot read it
BEGIN = r"\b(?P<scheme>[a-zA-Z][\w+.-]*)://"
ALONE, IN_TEXT = re.compile(BEGIN + "(?P<rest>.+)", re.S), re.compile(BEGIN + r"""(?P<rest>[^\s'"<>()]+)""")
# a password may have an @ in it, and even what ends the host's part of a URI; a port is no password
USER = re.compile(r"(?:(?P<name>[^/?#:@]*)(?::[^/?#]*)?|(?P<odd>[^/?#:@]*):(?!\d+(?:[/?#]|$)).*)@", re.S)
SECRET = re.compile(r"(?<=[?&])[\w.-]*(?:pass|pwd|token|secret|key|auth|cred|sig)[\w.-]*=[^&#\s]*&?", re.I)
DATABASES = ("postgres", "mysql", "mssql", "oracle")


def public(text: str) -> str:
    """A URI without what it should not show, which :func:`with_secrets` gives back; another text as it is.

    Of a server of MLflow or of files, the user is left out, since a token may stand there. Of a database, the user is
    kept, since the password may come from elsewhere.
    """
    quote = text[:1] if text[:1] in ("'", '"') and text[-1:] == text[:1] else ""
    uri = text.strip(quote) if quote else text
    if not ALONE.fullmatch(uri):
        return text
    shown = ALONE.sub(_shown, uri)
    if shown != uri:
        os.environ[KEPT] = json.dumps(_kept() | {shown: uri})
    return f"{quote}{shown}{quote}"


def with_secrets(uri: str) -> str:
    """The URI whose public part this is."""
    return _kept().get(uri, uri)


def without_secrets(text: str) -> str:
    """A text without the users, passwords and tokens of the URIs in it."""
    for shown, uri in _kept().items():
        text = text.replace(uri, shown)
    return (ALONE if ALONE.fullmatch(text) and not re.search(r"\s", text) else IN_TEXT).sub(_shown, text)


def in_settings(content: Any, change: Callable[[str], str]) -> Any:
    """Settings with every text changed, by :func:`public` or :func:`without_secrets`."""
    if isinstance(content, dict):
        return {key: in_settings(value, change) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(in_settings(value, change) for value in content)
    return change(content) if isinstance(content, str) and "://" in content else content


def _shown(found: re.Match[str]) -> str:
    scheme, rest = found["scheme"], found["rest"]
    if user := USER.match(rest):
        name = user["name"] or user["odd"] or ""
        rest = (f"{name}@" if name and scheme.lower().startswith(DATABASES) else "") + rest[user.end() :]
    return f"{scheme}://" + re.sub(r"[?&]+(?=#|$)", "", SECRET.sub("", rest))


def _kept() -> dict[str, str]:
    kept: dict[str, str] = json.loads(os.environ.get(KEPT, "{}"))
    return kept
