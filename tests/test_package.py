"""A wheel built from the project carries all it needs, and works outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import Cluster, sql

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(ROOT)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield next(Path(folder).glob("*.whl"))


def test_the_wheel_carries_the_sql_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for path in (ROOT / "sql").rglob("*.sql"):
        assert f"notify_server/{path.relative_to(ROOT)}" in names
    assert not any(name.startswith(("tests/", "sql/")) for name in names)


def test_it_works_from_an_empty_folder(wheel: Path, tmp_path: Path, cluster: Cluster) -> None:
    """The package from the wheel, the dependencies of this environment."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    with sql(cluster.url()) as admin:
        admin.run("CREATE DATABASE from_the_wheel")
        variables = {"PYTHONPATH": str(tmp_path / "site"), "DATABASE_URL": cluster.url("from_the_wheel")}
        try:
            done = subprocess.run(
                [sys.executable, "-c", "import notify_server.__main__ as m; print(m.__file__); m.main(['seed'])"],
                cwd=empty, env={**variables, "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
            )  # fmt: skip
        finally:
            admin.run("DROP DATABASE from_the_wheel WITH (FORCE)")
    assert done.stdout.splitlines() == [str(tmp_path / "site" / "notify_server" / "__main__.py"), "seeded"]


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


def test_platforms_find_what_they_look_for() -> None:
    assert (ROOT / "Procfile").read_text() == "release: notify-server migrate\nweb: notify-server serve\n"
    assert (ROOT / "requirements.txt").read_text() == "-c constraints.txt\n.\n"
    assert re.fullmatch(r"3\.\d+\n", (ROOT / ".python-version").read_text())
