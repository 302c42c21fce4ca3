"""A server of PostgreSQL on loopback, with a cluster of its own, which may be killed and started again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from processes import free_port


def program(name: str) -> str:
    """A program of the server, which Debian keeps out of the path."""
    places = [str(place) for place in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name, path=os.pathsep.join([*places, os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"there is no {name}: PostgreSQL's server is not installed")
    return found


class PostgreSQL:
    """A server and its one database."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.port, self.database, self.cluster = folder, free_port(), database, str(folder / "cluster")
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:  # PostgreSQL does not serve root
            try:
                shutil.chown(folder, "postgres")
            except LookupError:
                pytest.skip("PostgreSQL does not serve root, and there is no user postgres")
            self.user = {"user": "postgres"}

    @property
    def uri(self) -> str:
        return f"postgresql+psycopg://unroll@127.0.0.1:{self.port}/{self.database}"

    def make(self) -> None:
        self.do(program("initdb"), "-D", self.cluster, "-U", "unroll", "--auth=trust", "--encoding=UTF8", "--no-sync")
        self.start()
        self.do(program("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "unroll", self.database)

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.do(program("pg_ctl"), "-D", self.cluster, "-o", options, "-w", "start")

    def kill(self) -> None:
        """Kill the server, at once; its processes for connections see that, and end."""
        number = Path(self.cluster, "postmaster.pid").read_text(encoding="utf-8").split()[0]
        os.kill(int(number), signal.SIGKILL)

    def stop(self) -> None:
        subprocess.run([program("pg_ctl"), "-D", self.cluster, "-m", "immediate", "stop"], cwd=self.folder,
                       capture_output=True, check=False, **self.user)  # fmt: skip

    def do(self, *command: str) -> None:
        # into a file: the server would hold a pipe open
        with (self.folder / "log").open("ab") as log:
            done = subprocess.run(command, cwd=self.folder, stdout=log, stderr=log, check=False, **self.user)
        if done.returncode:
            pytest.skip(f"{command[0]} failed: {(self.folder / 'log').read_text()[-500:]}")


@contextlib.contextmanager
def serving(database: str) -> Iterator[PostgreSQL]:
    """A server with an empty database; the test is skipped where there can be none."""
    if find_spec("psycopg") is None:
        pytest.skip("there is no psycopg: pip install -e '.[postgres]'")
    folder = Path(tempfile.mkdtemp(prefix="unroll-postgres-"))
    try:
        server = PostgreSQL(folder, database)
        server.make()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
