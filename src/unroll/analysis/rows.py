"""Types of records that commands write and read as JSON, which are checked when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Entry = Mapping[str, Any]  # a run, as written by ``train`` or ``evaluate``
Row = dict[str, Any]  # a row of a table, or a section of a page
