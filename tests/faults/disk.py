"""A disk that can be filled up."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.postgres import make_folder

_DISK_MB = 600


class Disk:
    """A small file system for the database's data, where mounting one is permitted; `reason` says why it is not."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.reason = ""
        if os.geteuid() != 0:
            self.reason = "mounting a small file system takes root"
            return
        folder = make_folder()
        owner = folder.stat()
        options = f"size={_DISK_MB}m,uid={owner.st_uid},gid={owner.st_gid},mode=700"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
        )
        if mounted.returncode:
            folder.rmdir()
            self.reason = "mount is not permitted"
        else:
            self.folder = folder

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        assert self.folder is not None
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                free = os.statvfs(self.folder)
                with contextlib.suppress(OSError):  # it need not be free any more
                    os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize)
                file.seek(0, os.SEEK_END)
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(4096))
            yield
        finally:
            ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        if self.folder is not None:
            subprocess.run(["umount", str(self.folder)], check=False, capture_output=True)
            with contextlib.suppress(OSError):
                self.folder.rmdir()
