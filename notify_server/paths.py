"""Paths as people name them in settings."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+")
_PARAMETER = re.compile(r":[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class CommentRoute:
    """Where comments are posted and listed. `template` is the path with the post's id as `{postId}`, where the path has
    it; else the id is in the body, or the query."""

    named: str
    template: str

    @classmethod
    def parse(cls, text: str) -> CommentRoute:
        """In Express's notation: `/articles/:articleId/comments`, or without a parameter. Raises ValueError."""
        parts = []
        for part in text.strip("/").split("/"):
            if _PARAMETER.fullmatch(part):
                parts.append("{postId}")
            elif _SEGMENT.fullmatch(part):
                parts.append(part)
            else:
                raise ValueError("neither a name nor a parameter")
        if not text.startswith("/") or parts.count("{postId}") > 1:
            raise ValueError("no path, or several parameters")
        return cls(text, "/" + "/".join(parts))

    @property
    def in_path(self) -> bool:
        return "{postId}" in self.template

    def __str__(self) -> str:
        return self.named


DEFAULT_COMMENT_ROUTE = CommentRoute.parse("/posts/:postId/comments")
