"""A real PostgreSQL on this machine, in a folder of the test's."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from launcher_helpers import free_port

USER = "postgres"


@dataclass
class Postgres:
    """A server on loopback. ``programs`` is where PostgreSQL's programs lie; ``folder`` the cluster's."""

    programs: Path
    folder: Path
    port: int
    password: str

    def url(self, database: str, user: str = "dynvit", password: str | None = None) -> str:
        """Of a database."""
        return f"postgresql://{user}:{quote(password or self.password)}@127.0.0.1:{self.port}/{database}"

    def made(self, database: str) -> str:
        """A new database; its URL."""
        self.say(f"CREATE DATABASE {database} OWNER dynvit")
        return self.url(database)

    def say(self, statement: str) -> None:
        """Have the server do it."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Returns when it answers."""
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories="
        self._run("pg_ctl", "start", "-w", "-t", "60", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """As a machine that is lost would: at once."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-w")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Its connections stay, and nobody answers."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = subprocess.run(
            ["pgrep", "-P", str(first)], capture_output=True, text=True, check=True
        ).stdout.split()
        processes = [first, *map(int, children)]
        try:
            for process in processes:
                os.kill(process, signal.SIGSTOP)
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def initialise(self) -> None:
        """A cluster whose superuser is the tests' user."""
        file = self.folder / "password"
        file.write_text(self.password)
        if os.getuid() == 0:
            shutil.chown(file, USER)
        self._run("initdb", "-U", "dynvit", "--pwfile", str(file), "-A", "scram-sha-256", "--no-sync", "-E", "UTF8")

    def _run(self, program: str, *words: str) -> None:
        command = [str(self.programs / program), "-D", str(self.folder / "data"), *words]
        as_user = ["runuser", "-u", USER, "--"] if os.getuid() == 0 else []  # it refuses to run as root
        done = subprocess.run(
            [*as_user, *command], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode()


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A server that runs as long as the block does."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if (there := shutil.which("initdb")) is not None:
        found.append(Path(there).parent)
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with tempfile.TemporaryDirectory() as name:  # of pytest's own its user cannot enter the parents
        folder = Path(name)
        if os.getuid() == 0:
            shutil.chown(folder, USER, USER)
        server = Postgres(found[0], folder, free_port(), secrets.token_hex(8))
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
