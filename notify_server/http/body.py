"""JSON bodies: every value from outside is parsed into a type here, or refused with the field's name."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import Any

import orjson
from aiohttp import web

from notify_server.errors import BadRequest, Invalid, RequestTimeout, TooLarge, UnsupportedMediaType

MAX_BODY_BYTES = 256 * 1024  # 10,000 characters, each written as two \uXXXX, and room
_READ_TIMEOUT_S = 10
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _parse(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        if b"\\u" not in raw:
            raise
    # orjson takes a lone surrogate for a syntax error. It is a value, which the field's own check then refuses.
    return json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)


async def read_object(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object; anything else that is JSON counts as an empty one, so that the missing field is named.
    Raises UnsupportedMediaType, TooLarge, RequestTimeout, BadRequest."""
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("send JSON: Content-Type: application/json")
    try:
        # of what has come together with its head, as it mostly has, nothing is to be waited for
        async with contextlib.nullcontext() if request.content.is_eof() else asyncio.timeout(_READ_TIMEOUT_S):
            raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes") from error
    except TimeoutError as error:
        raise RequestTimeout("the body did not arrive in time") from error
    except web.RequestPayloadError as error:
        raise BadRequest("the body cannot be read as it is encoded") from error
    try:
        parsed = _parse(raw)
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body is not valid JSON", code="invalid_json") from error
    return parsed if isinstance(parsed, dict) else {}


def text_field(body: dict[str, Any], name: str, max_chars: int) -> str:
    """A text that PostgreSQL can hold, not blank. Raises Invalid, which names the field."""
    value = body.get(name)
    if value is None:
        raise Invalid(f"{name} is missing", field=name)
    if not isinstance(value, str):
        raise Invalid(f"{name} must be text", field=name)
    if not value.strip():
        raise Invalid(f"{name} must not be empty", field=name)
    if len(value) > max_chars:
        raise Invalid(f"{name} must have at most {max_chars} characters", field=name)
    if "\0" in value:
        raise Invalid(f"{name} must not hold the character NUL", field=name)
    if _HALF_CHARACTER.search(value) is not None:
        raise Invalid(f"{name} holds half a character (a lone surrogate)", field=name)
    return value
