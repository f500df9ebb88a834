"""Whether a server that is set up works, and what to do where it does not. Writes nothing but a NOTIFY."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, WSMsgType, WSServerHandshakeError

from notify_server.attachment import attached, has_views, missing_triggers
from notify_server.capacity import max_sockets, raise_fd_limit
from notify_server.check import is_pooled
from notify_server.db import Database, listening
from notify_server.drain import backlog
from notify_server.errors import NotifyError
from notify_server.findings import Finding, note, ok, problem
from notify_server.migrate import pending
from notify_server.settings import Settings
from notify_server.sql import queries

_sql = queries("doctor")
_hints_sql = queries("hints")

_CHANNEL = "notify_doctor"
_HEARD_S = 3
_CLOCK_S = 5
_BACKLOG_S = 10
_WEB_S = 10
_FEW_SOCKETS = 2000
_POLLS = 8  # enough that a proxy without affinity shows it


async def examine(db: Database, settings: Settings, public_url: str | None) -> AsyncIterator[Finding]:
    """One finding after the other. `public_url` is where browsers find the server."""
    try:
        clock = await db.value(_sql.clock)
    except NotifyError as error:
        yield problem("database", error.message, "DATABASE_URL must lead to a PostgreSQL that runs")
    else:
        yield ok("database", "answers")
        yield _clock(clock)
        async for finding in _schema(db):
            yield finding
        if settings.session_secret is not None:
            yield await _sessions(db, settings)
        async for finding in _listen(db, settings):
            yield finding
    for finding in _process(settings):
        yield finding
    if public_url is None:
        yield note("proxy", "not looked at", "`notify-server doctor https://…`, the address that browsers use")
    else:
        async for finding in _web(public_url.rstrip("/"), settings):
            yield finding


def _clock(there: float) -> Finding:
    away_s = there - time.time()
    if abs(away_s) < _CLOCK_S:
        return ok("clock", "agrees with the database's")
    return problem(
        "clock", f"{abs(away_s):.0f} s {'behind' if away_s > 0 else 'ahead of'} the database's",
        "set both by NTP: tokens expire by this clock",
    )  # fmt: skip


async def _schema(db: Database) -> AsyncIterator[Finding]:
    try:
        todo = await pending(db)
        if todo:
            yield problem(
                "migrations", f"{len(todo)} pending", "`notify-server migrate`; a server does it as it starts"
            )
            return
        yield ok("migrations", "all applied")
        if await attached(db) is None:
            yield problem("tables", "not connected", "`notify-server attach`")
            return
        if not await has_views(db):
            yield problem(
                "views", "notify.comments, or one that belongs to it, is gone: its table was dropped with CASCADE",
                "`notify-server attach` makes them anew; with --drafts, where the drafts were your own",
            )  # fmt: skip
            return
        missing = await missing_triggers(db)
        for schema, table, trigger in missing:
            yield problem(
                "triggers", f"{trigger} on {schema}.{table} is gone or disabled",
                "`notify-server attach` puts it back; what came meanwhile is found by then",
            )  # fmt: skip
        if not missing:
            yield ok("triggers", "in place and enabled")
        yield await _drafts(db)
        if await db.value(_sql.has_answers):
            yield await _answers(db)
        for finding in await _outbox(db):
            yield finding
    except NotifyError as error:
        yield problem("schema", error.message)


async def _drafts(db: Database) -> Finding:
    advice = "see notify.drafts in the README; comments wait until it is mended"
    try:
        rows = await db.fetch(_sql.drafts)
    except NotifyError as error:
        return problem("drafts", error.message, advice)
    for user_id, type_, payload, topic, *_ids in rows:
        if not user_id or len(user_id) > 255:
            return problem("drafts", "user_id must have 1 to 255 characters", advice)
        if not type_ or len(type_) > 64:
            return problem("drafts", "type must have 1 to 64 characters", advice)
        if topic is not None and len(topic) > 255:
            return problem("drafts", "topic must have at most 255 characters", advice)
        fields = orjson.loads(payload) if payload is not None else None
        if not isinstance(fields, dict) or "type" in fields:
            return problem("drafts", 'payload must be a JSON object without the key "type"', advice)
        if not isinstance(fields.get("message"), str):
            return note("drafts", "a payload has no text `message`", "an unchanged front end shows that as the toast")
    return ok("drafts", f"give what they should ({len(rows)} of the newest looked at)")


async def _answers(db: Database) -> Finding:
    try:
        await db.value(_sql.answers)
    except NotifyError as error:
        return problem("answers", error.message, "`notify-server attach --answer`; until then it is the usual one")
    return ok("answers", "of your own SQL are given")


async def _outbox(db: Database) -> list[Finding]:
    waiting = await backlog(db)
    found = []
    if waiting.oldest_s > _BACKLOG_S:
        found.append(
            problem(
                "outbox",
                f"{waiting.rows} rows, the oldest {waiting.oldest_s:.0f} s old",
                "is a server running? See its log",
            )
        )
    else:
        found.append(ok("outbox", f"{waiting.rows} rows"))
    if waiting.poison:
        found.append(
            note(
                "outbox", f"{waiting.poison} rows were set aside", "the table notify.poison tells why; delete them then"
            )
        )
    return found


async def _sessions(db: Database, settings: Settings) -> Finding:
    load = queries("sessions").load.on("session", settings.session_table, settings.session_schema)
    try:
        await db.fetch(load, sids=[])
    except NotifyError as error:
        return problem(
            "sessions", error.message,
            "SESSION_TABLE and SESSION_SCHEMA name connect-pg-simple's table, which this role may SELECT and UPDATE",
        )  # fmt: skip
    return ok("sessions", "are read where Express keeps them")


async def _listen(db: Database, settings: Settings) -> AsyncIterator[Finding]:
    try:
        pooled = await is_pooled(db.dsn)
        if pooled and settings.listen_dsn is None:
            yield note(
                "LISTEN", "a pooler stands in between: what other servers change is looked up each second",
                "set LISTEN_URL to PostgreSQL itself",
            )  # fmt: skip
            return
        word = secrets.token_hex(8)
        async with listening(
            settings.listen_dsn or db.dsn, _CHANNEL, settings.db_connect_timeout_s, even_if_pooled=True
        ) as listener:
            await db.fetch(_hints_sql.notify, channel=_CHANNEL, payload=word)
            heard = None
            async with asyncio.timeout(_HEARD_S + 1):
                while heard != word:
                    heard = await listener.next(_HEARD_S)
                    if heard is None:
                        break
    except (NotifyError, TimeoutError) as error:
        yield problem("LISTEN", getattr(error, "message", "nothing was heard"), "LISTEN_URL must lead to PostgreSQL")
        return
    if heard is None:
        yield problem("LISTEN", "hears nothing", "LISTEN_URL must lead to PostgreSQL itself, not to a pooler")
    else:
        yield ok("LISTEN", "hears what others change")


def _process(settings: Settings) -> list[Finding]:
    raise_fd_limit()
    sockets = max_sockets(settings)
    found = []
    if sockets < _FEW_SOCKETS:
        found.append(note("files", f"room for {sockets} sockets", "raise `ulimit -n`, 10000 or more"))
    else:
        found.append(ok("files", f"room for {sockets} sockets"))
    if settings.client_url is None:
        found.append(
            note("CLIENT_URL", "not set: the same origin alone", "name your front end's, where that is another")
        )
    else:
        found.append(ok("CLIENT_URL", ", ".join(map(str, settings.client_url))))
    return found


async def _web(url: str, settings: Settings) -> AsyncIterator[Finding]:
    """As a browser of the front end would come: by polling, several times, and by WebSocket."""
    if urlsplit(url).scheme not in ("http", "https"):
        yield problem("proxy", f"{url} is no URL such as https://api.example.com")
        return
    origin = next((str(one) for one in settings.client_url or () if not one.wildcard), None)
    headers = {} if origin is None else {"Origin": origin}
    path = f"{url}{settings.socket_path}/"
    async with ClientSession(timeout=ClientTimeout(total=_WEB_S), headers=headers) as http:
        try:
            yield await _polling(http, path)
            yield await _websocket(http, path)
        except (ClientError, TimeoutError, OSError) as error:
            yield problem("proxy", f"{url} does not answer: {type(error).__name__}", "is the server running there?")


async def _polling(http: ClientSession, path: str) -> Finding:
    async with http.get(path, params={"EIO": "4", "transport": "polling"}) as response:
        text = await response.text(errors="replace")
        if response.status == 503:
            return problem("polling", "503: the server there is not ready", "see its /readyz and its log")
        if response.status == 403:
            return problem("polling", "403: the origin is not allowed", "CLIENT_URL of the server there lacks this one")
        if response.status != 200 or not text.startswith("0{"):
            return problem("polling", f"{response.status}, and no Engine.IO", f"the proxy must pass {path} on")
    sid = orjson.loads(text[1:])["sid"]
    # A pong by POST changes nothing, and needs the session to be there.
    for _ in range(_POLLS):
        async with http.post(path, params={"EIO": "4", "transport": "polling", "sid": sid}, data="3") as response:
            if response.status == 400:
                return problem(
                    "polling", "requests of one session reach different servers",
                    "the proxy needs affinity (docs/SWITCH.md), or one server alone",
                )  # fmt: skip
            if response.status != 200:
                return problem("polling", f"a POST is answered {response.status}", "the proxy must pass POST on, too")
    return ok("polling", "answers, and always the same server does")


async def _websocket(http: ClientSession, path: str) -> Finding:
    try:
        async with http.ws_connect(path, params={"EIO": "4", "transport": "websocket"}) as socket:
            first = await socket.receive(_WEB_S)
            if first.type is WSMsgType.TEXT and str(first.data).startswith("0{"):
                return ok("WebSocket", "gets through")
    except WSServerHandshakeError as error:
        return problem(
            "WebSocket", f"the upgrade is answered {error.status}",
            "the proxy must pass the headers Upgrade and Connection on (docs/SWITCH.md)",
        )  # fmt: skip
    return problem("WebSocket", "opens, and says nothing", "what answers there is no Socket.IO server")
