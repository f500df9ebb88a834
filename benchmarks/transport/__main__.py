from __future__ import annotations

import argparse
import gc
import platform
import re
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import benchmarks.transport
from benchmarks.transport import report, servers
from benchmarks.transport.load import Load, Stuck
from benchmarks.transport.measures import MEASURES, Sample, plan


def some_of(known: list[str]) -> Any:
    def parse(text: str) -> list[str]:
        asked = text.split(",")
        if unknown := set(asked) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: there are {', '.join(known)}")
        return [name for name in known if name in asked]

    return parse


def raise_file_limit(sockets: int) -> None:
    """Of this process and of the servers that it starts."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= hard < sockets + 200:
        raise SystemExit(f"no more than {hard} files can be open (ulimit -Hn): --sockets {hard - 200}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def measure(options: argparse.Namespace, versions: dict[str, str]) -> dict[str, dict[str, list[Sample]]]:
    samples: dict[str, dict[str, list[Sample]]] = {
        name: {server: [] for server in options.servers} for name in options.only
    }
    for number in range(1, options.rounds + 1):
        for step in plan(options.only, options.sockets):
            for name in options.servers:
                with servers.running(name, options.loop) as server, Load(server.port) as load:
                    versions[name] = server.version
                    for what, sample in step(server, load):
                        samples[what][name].append(sample)
                        print(
                            f"round {number}  {what:9}{name:6}{report.figure(sample.value):>8} {MEASURES[what].unit:12}"
                            f" server {sample.server_busy:.0%}, load {sample.load_busy:.0%},"
                            f" others {sample.others:.0%}",
                            flush=True,
                        )
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.transport",
        description=benchmarks.transport.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=some_of(list(MEASURES)), default=list(MEASURES), help=",".join(MEASURES))
    parser.add_argument(
        "--servers", type=some_of(list(servers.NAMES)), default=["node", "ours"], help=",".join(servers.NAMES)
    )
    parser.add_argument("--sockets", type=int, default=10_000, help="those whose memory and idle CPU are measured")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop", help="of ours and stock")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server of the moment is killed
    raise_file_limit(max(options.sockets, 5_000))
    gc.disable()  # a pause here would be measured as the server's
    if "node" in options.servers:
        servers.install_peer()

    begun = time.monotonic()
    versions: dict[str, str] = {}
    try:
        samples = measure(options, versions)
    except (Stuck, RuntimeError, OSError) as failure:
        print(f"given up: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130

    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "kernel": platform.release(),
        "rounds": options.rounds,
        "sockets": options.sockets,
        "versions": versions,
    }
    lines = [
        report.table(samples, options.servers),
        f"Medians of {options.rounds} round(s), and their range. {options.sockets:,} sockets at rest.",
        "; ".join(f"{name}: {version}" for name, version in versions.items()) + f". {facts['processor']}.",
        f"Shares that server and load took of their cores, and others of the server's: {report.load_line(samples)}.",
    ]
    text = "\n\n".join(lines)
    report.write(samples, text, facts)
    print(f"\n{text}\n\n{time.monotonic() - begun:.0f} s")
    judged = [report.verdict(MEASURES[name], by_server) for name, by_server in samples.items()]
    return int(any(one is not None and not one[1] for one in judged))


if __name__ == "__main__":
    sys.exit(main())
