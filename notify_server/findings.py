"""What `check` and `doctor` found: one line each, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`problem`: it does not work like this. `note`: it works, and is good to know."""

    level: Literal["ok", "note", "problem"]
    subject: str
    text: str
    advice: str = ""

    def __str__(self) -> str:
        line = f"{self.level:<8} {self.subject}: {self.text}"
        return f"{line}\n{'':9}→ {self.advice}" if self.advice else line


def ok(subject: str, text: str) -> Finding:
    return Finding("ok", subject, text)


def note(subject: str, text: str, advice: str = "") -> Finding:
    return Finding("note", subject, text, advice)


def problem(subject: str, text: str, advice: str = "") -> Finding:
    return Finding("problem", subject, text, advice)


def has_problems(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "problem" for finding in findings)
