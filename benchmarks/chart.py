"""How many times better than the Express server, as SVG."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from benchmarks.figures import FIGURES
from benchmarks.processes import EXPRESS, OURS
from benchmarks.report import Samples, number

_SHOWN = {
    "http-64": "Comments a second, 64 connections",
    "http-64-cpu": "Server CPU of a comment",
    "delivery-most": "Comments a second to the screen",
    "delivery-200-p99": "POST to event, p99 at 200 a second",
    "delivery-1000-p99": "POST to event, p99 at 1,000 a second",
    "rss": "Memory of an idle socket",
    "idle": "CPU of 10,000 idle sockets",
    "connects": "Connects a second",
    "fanout": "One emit to 5,000",
    "single": "Emits a second to rooms of one",
}
_ROW, _TOP, _LEFT, _WIDTH, _BARS, _RIGHT = 30, 64, 310, 900, 380, 16
_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 12px; fill: #59636e }
.title { font-size: 16px; font-weight: 600 } .bar { fill: #0969da } .axis { stroke: #8c959f } .grid { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .bar { fill: #4493f8 }
  .axis { stroke: #656c76 } .grid { stroke: #3d444d }
}
"""


def svg(samples: Samples) -> str:
    rows = []
    for name, title in _SHOWN.items():
        ours, express = samples.median(name, OURS), samples.median(name, EXPRESS)
        if ours and express:
            better = ours / express if FIGURES[name].more_is_better else express / ours
            rows.append((title, better, f"{number(ours)} against {number(express)} {FIGURES[name].unit}"))
    most = max([2.0, *(better for _, better, _ in rows)])
    least = min([1.0, *(better for _, better, _ in rows)])
    scale = _BARS / math.log2(most / least)
    one = _LEFT + math.log2(1 / least) * scale
    height = _TOP + _ROW * len(rows) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
        ' aria-label="How many times better notify-server is than Express and Socket.IO">',
        f"<style>{_STYLE}</style>",
        '<text class="title" x="16" y="28">How many times better than Express + Socket.IO</text>',
    ]
    times = 1
    while times <= most:
        x = one + math.log2(times) * scale
        parts.append(f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="{_TOP - 8}" y2="{height - 20}"/>')
        parts.append(f'<text class="small" text-anchor="middle" x="{x:.0f}" y="{_TOP - 14}">{times} ×</text>')
        times *= 2
    for n, (title, better, values) in enumerate(rows):
        y = _TOP + _ROW * n
        x = one + math.log2(better) * scale
        parts.append(f'<text text-anchor="end" x="{_LEFT - 12}" y="{y + 18}">{escape(title)}</text>')
        left, right = sorted((one, x))
        parts.append(f'<rect class="bar" rx="3" x="{left:.0f}" y="{y + 4}" width="{right - left:.0f}" height="20"/>')
        label = f"{better:.1f} ×<title>{escape(values)}</title>"
        parts.append(f'<text class="small" x="{right + 8:.0f}" y="{y + 18}">{label}</text>')
    parts.append(f'<line class="axis" x1="{one:.0f}" x2="{one:.0f}" y1="{_TOP - 8}" y2="{height - 20}"/>')
    return "\n".join([*parts, "</svg>", ""])


def write(samples: Samples, folder: Path) -> None:
    (folder / "bench.svg").write_text(svg(samples))
