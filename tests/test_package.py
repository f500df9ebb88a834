"""A wheel built from the project carries all it needs, and works outside the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.postgres import Cluster, free_port, sql
from tests.processes import Process, Start

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(built_page: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(ROOT)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield next(Path(folder).glob("*.whl"))


def test_the_wheel_carries_the_page_also_compressed(wheel: Path, built_page: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("notify_server/static/")}
    assert {"notify_server/static/index.html.br", "notify_server/static/plain/index.html.gz"} <= names
    files = {path.relative_to(ROOT).as_posix() for path in built_page.rglob("*") if path.is_file()}
    assert names == files - {"notify_server/static/.sources"}


def test_the_wheel_carries_the_sql_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for path in (ROOT / "sql").rglob("*.sql"):
        assert f"notify_server/{path.relative_to(ROOT)}" in names
    assert not any(name.startswith(("tests/", "sql/", "web/")) for name in names)


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """The package from the wheel, unpacked; the dependencies are this environment's."""
    folder = wheel.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def empty() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="notify-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_it_works_from_an_empty_folder(site: Path, empty: Path, cluster: Cluster) -> None:
    with sql(cluster.url()) as admin:
        admin.run("CREATE DATABASE from_the_wheel")
        variables = {"PYTHONPATH": str(site), "DATABASE_URL": cluster.url("from_the_wheel")}
        try:
            done = subprocess.run(
                [sys.executable, "-c", "import notify_server.__main__ as m; print(m.__file__); m.main(['seed'])"],
                cwd=empty, env={**variables, "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
            )  # fmt: skip
        finally:
            admin.run("DROP DATABASE from_the_wheel WITH (FORCE)")
    assert done.stdout.splitlines() == [str(site / "notify_server" / "__main__.py"), "seeded"]


async def test_its_demo_has_the_page_and_without_one_says_so(site: Path, empty: Path, start: Start) -> None:
    port = free_port()
    where = {"cwd": empty, "PYTHONPATH": site, "DATA_DIR": "data", "PORT": port}
    demo: Process = await start("demo", **where)
    await demo.until(f"Open  http://127.0.0.1:{port}/ ")
    async with (
        aiohttp.ClientSession(headers={"Accept-Encoding": "br"}, auto_decompress=False) as http,
        http.get(f"http://127.0.0.1:{port}/") as response,
    ):
        assert (response.status, response.headers["Content-Encoding"]) == (200, "br")
    await demo.stop()

    shutil.move(site / "notify_server" / "static", site / "elsewhere")
    try:
        without: Process = await start("demo", **where)
        await without.until("not built yet: run `make web`")
        await without.until("This terminal listens as Ada")
        async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/") as response:
            assert "make web" in await response.text()
        await without.stop()
    finally:
        shutil.move(site / "elsewhere", site / "notify_server" / "static")


def test_the_constraints_name_every_dependency_exactly_and_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9A-Za-z.]+", line) for line in lines)
    names = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    declared = re.findall(r'^    "([A-Za-z0-9-]+)', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert {name.lower() for name in declared if not name.startswith("n-")} & names >= {
        "aiohttp",
        "aiopg",
        "pytest",
        "ruff",
    }


@pytest.mark.parametrize(
    "folder",
    [
        "web",
        "tests/client",
        "tests/transport",
        "tests/express",
        "benchmarks/servers",
        "examples/pern/server",
        "examples/pern/client",
    ],
)
def test_a_lock_file_names_no_host_and_the_programs_for_every_platform(folder: str) -> None:
    """npm ci refuses one that lacks a platform's, also on another."""
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    for path, package in packages.items():
        assert "resolved" not in package, path
        for name in package.get("optionalDependencies", {}):
            assert {f"node_modules/{name}", f"{path}/node_modules/{name}"} & packages.keys(), (path, name)


def test_platforms_find_what_they_look_for() -> None:
    assert (ROOT / "Procfile").read_text() == "release: notify-server migrate\nweb: notify-server serve\n"
    assert (ROOT / "requirements.txt").read_text() == "-c constraints.txt\n.\n"
    assert re.fullmatch(r"3\.\d+\n", (ROOT / ".python-version").read_text())
