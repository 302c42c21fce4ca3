"""Credentials in URIs: available to the processes of a command, but neither stored nor shown.

Settings contain the public part of a URI. The full URI is kept in the environment, which child processes inherit, and
is restored when a connection is opened.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

KEPT = "UNROLL_CREDENTIALS"  # environment variable with the full URI of each public one; other users cannot read it
BEGIN = r"\b(?P<scheme>[a-zA-Z][\w+.-]*:/+)"  # a URI with a mistyped number of slashes has a password too
ALONE = re.compile(BEGIN + "(?P<rest>.+)", re.S)
IN_TEXT = re.compile(BEGIN + r"""(?P<rest>[^\s'"<>()]+)""")
# a password may contain @ and even characters that end the authority of a URI; a port is not a password
USER = re.compile(r"(?:(?P<name>[^/?#:@]*)(?::[^/?#]*)?|(?P<odd>[^/?#:@]*):(?!\d+(?:[/?#]|$)).*)@", re.S)
SECRET = re.compile(r"(?<=[?&])[\w.-]*(?:pass|pwd|token|secret|key|auth|cred|sig)[\w.-]*=[^&#\s]*&?", re.I)
DATABASES = ("postgres", "mysql", "mssql", "oracle")


def public(text: str) -> str:
    """Remove credentials from a URI; :func:`with_secrets` restores them. Other text is unchanged.

    For MLflow and file servers the user is removed, since it may be a token. For databases the user is kept, since the
    password may come from elsewhere.
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
    """The full URI of a public one."""
    return _kept().get(uri, uri)


def without_secrets(text: str) -> str:
    """Remove users, passwords and tokens from all URIs in a text."""
    for shown, uri in _kept().items():
        text = text.replace(uri, shown)
    return (ALONE if ALONE.fullmatch(text) and not re.search(r"\s", text) else IN_TEXT).sub(_shown, text)


def in_settings(content: Any, change: Callable[[str], str]) -> Any:
    """Apply :func:`public` or :func:`without_secrets` to all strings in settings."""
    if isinstance(content, dict):
        return {key: in_settings(value, change) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return type(content)(in_settings(value, change) for value in content)
    return change(content) if isinstance(content, str) and ":/" in content else content


def _shown(found: re.Match[str]) -> str:
    scheme, rest = found["scheme"], found["rest"]
    if user := USER.match(rest):
        name = user["name"] or user["odd"] or ""
        rest = (f"{name}@" if name and scheme.lower().startswith(DATABASES) else "") + rest[user.end() :]
    return scheme + re.sub(r"[?&]+(?=#|$)", "", SECRET.sub("", rest))


def _kept() -> dict[str, str]:
    kept: dict[str, str] = json.loads(os.environ.get(KEPT, "{}"))
    return kept
