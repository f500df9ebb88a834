"""What `npm run package` makes of `web/src/notify`, in an app of somebody else's."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

import notify_server
from web.node import WEB, environment, install, node, npm

ROOT = Path(__file__).parent.parent
PACKAGE = WEB / "dist"

_AROUND = """
declare const API_URL: string;
declare const token: string;
declare const user: { id: number };
declare function toast(message?: string): void;
export function App() {
%s
}
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty app that has the package, and its peers, beside TypeScript."""
    install(WEB)
    subprocess.run([*npm(), "run", "--silent", "package"], cwd=WEB, env=environment(), check=True, capture_output=True)
    app = tmp_path_factory.mktemp("app")
    (app / "node_modules").mkdir()
    for path in (WEB / "node_modules").iterdir():
        (app / "node_modules" / path.name).symlink_to(path)
    (packed,) = PACKAGE.glob(f"notify-server-react-{notify_server.__version__}.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(app, filter="data")
    (app / "package").rename(app / "node_modules" / "notify-server-react")
    return app


def _lines_to_copy(file: Path) -> str:
    """The first example of a document."""
    found = re.search(r"```tsx\n(.+?)```", file.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("resolution", ["bundler", "nodenext"])
def test_the_lines_of_the_readme_compile(app: Path, resolution: str) -> None:
    lines = _lines_to_copy(ROOT / "README.md").splitlines()
    imports = [line for line in lines if line.startswith("import ")]
    rest = [line for line in lines if not line.startswith("import ")]
    assert len([line for line in lines if line]) <= 5
    (app / "App.tsx").write_text("\n".join(imports) + _AROUND % "\n".join(rest))
    module = "esnext" if resolution == "bundler" else "nodenext"
    (app / "tsconfig.json").write_text(
        json.dumps(
            {
                "compilerOptions": {
                    "strict": True, "noEmit": True, "jsx": "react-jsx", "target": "es2022", "module": module,
                    "moduleResolution": resolution, "lib": ["es2023", "dom", "dom.iterable"], "types": ["vite/client"],
                },
                "files": ["App.tsx"],
            }
        )
    )  # fmt: skip
    done = subprocess.run(
        [*node(), str(WEB / "node_modules" / "typescript" / "bin" / "tsc"), "--project", str(app)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == ""
    assert done.returncode == 0


def test_it_needs_nothing_but_react_and_the_client(app: Path) -> None:
    code = (PACKAGE / "index.js").read_text("utf-8")
    assert set(re.findall(r'^(?:import|export) .*? ?from "(.+?)";|^import "(.+?)";', code, re.MULTILINE)) == {
        ("react", ""), ("react/jsx-runtime", ""), ("socket.io-client", ""),
    }  # fmt: skip
    description = json.loads((PACKAGE / "package.json").read_text())
    assert description["version"] == notify_server.__version__
    assert set(description["peerDependencies"]) == {"react", "socket.io-client"}
    assert "dependencies" not in description
    assert f"notify-server-react-{notify_server.__version__}.tgz" in (ROOT / "README.md").read_text("utf-8")
    for path in ("index.js", "styles.css", "types/index.d.ts", "README.md", "LICENSE"):
        assert (PACKAGE / path).is_file()
