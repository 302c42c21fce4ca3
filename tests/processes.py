"""Processes that train together, forked from the test, as torchrun would start them."""

from __future__ import annotations

import os
import pickle
import socket
import traceback
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest


def some_slow(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Values to go through, all but some of them in the slow tier."""
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]


def crossed(rows: Iterable[Any], columns: Iterable[Any], *quick: Any) -> list[Any]:
    """Every row with every column: in the default tier each row with one of the quick columns, in turn."""
    columns = [*columns]
    turn = quick or columns
    return [pytest.param(row, column, marks=[] if column == turn[i % len(turn)] else pytest.mark.slow)
            for i, row in enumerate(rows) for column in columns]  # fmt: skip


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def in_processes(world: int, function: Callable[[int], Any]) -> list[Any]:
    """What a function of the rank gives in each process; an exception of one comes as its text, a kill as None."""
    context, port = get_context("fork"), free_port()
    with TemporaryDirectory() as folder:

        def run(rank: int) -> None:
            names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "GROUP_RANK": 0,
                     "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}  # fmt: skip
            os.environ.update({name: str(value) for name, value in names.items()})
            try:
                made = function(rank)
            except BaseException:
                made = traceback.format_exc()
            Path(folder, str(rank)).write_bytes(pickle.dumps(made))
            os._exit(0)  # what the test would do at its end is not this process's

        processes = [context.Process(target=run, args=(rank,)) for rank in range(world)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(timeout=120)
            if process.is_alive():
                process.kill()
                process.join()
        files = [Path(folder, str(rank)) for rank in range(world)]
        return [pickle.loads(file.read_bytes()) if file.exists() else None for file in files]
