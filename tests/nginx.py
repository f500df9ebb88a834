"""A real nginx, with the configuration of `docs/`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.postgres import Missing, free_port

DOCS = Path(__file__).parent.parent / "docs"

_MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Nginx:
    """`ports` takes the ports of the documented configuration to those where servers listen here."""

    def __init__(self, ports: Mapping[int, int], replaced: Mapping[str, str] | None = None) -> None:
        self._program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
        if self._program is None:
            raise Missing("nginx")
        self._folder = Path(tempfile.mkdtemp(prefix="notify-nginx-"))
        self._folder.chmod(0o755)
        self.port = free_port()
        self.configure(ports, replaced or {})
        (self._folder / "nginx.conf").write_text(_MAIN.format(folder=self._folder))
        self._process = subprocess.Popen(self._command())
        self._await()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, ports: Mapping[int, int], replaced: Mapping[str, str]) -> None:
        text = (DOCS / "nginx.conf").read_text()
        for old, new in replaced.items():
            assert old in text, f"docs/nginx.conf does not have {old!r}"
            text = text.replace(old, new)
        text = re.sub(r"listen 80;", f"listen 127.0.0.1:{self.port};", text)
        text = re.sub(r"127\.0\.0\.1:(5000|8001|8002)\b", lambda port: f"127.0.0.1:{ports[int(port[1])]}", text)
        (self._folder / "site.conf").write_text(text)

    def reload(self) -> None:
        subprocess.run([*self._command(), "-s", "reload"], check=True, capture_output=True)

    def remove(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _command(self) -> list[str]:
        assert self._program is not None
        return [self._program, "-p", str(self._folder), "-e", str(self._folder / "error.log"),
                "-c", str(self._folder / "nginx.conf")]  # fmt: skip

    def _await(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/", timeout=1).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self._folder / "error.log").read_text())
