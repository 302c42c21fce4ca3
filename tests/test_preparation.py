"""Corpora that are prepared by several processes at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from unroll import preparation
from unroll.config import Config


def test_those_that_start_together_prepare_a_corpus_once(
    small: Callable[..., Config], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    original = preparation.prepare

    def slow(corpus: Any, target: Path) -> None:
        calls.append(target)
        time.sleep(0.3)
        original(corpus, target)

    monkeypatch.setattr(preparation, "prepare", slow)
    config = small("tagging", "lstm")
    with ThreadPoolExecutor(4) as pool:  # a lock of a file holds between its openings, in one process too
        folders = list(pool.map(lambda _: preparation.prepared(config.data), range(4)))
    assert calls == [folders[0]]
    assert len(set(folders)) == 1
