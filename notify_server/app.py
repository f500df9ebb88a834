"""The composition root: it alone picks implementations and ties them together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from socketio import AsyncServer

from notify_server import embedded
from notify_server.auth import make_verifier
from notify_server.background import in_background, kept_running
from notify_server.capacity import max_sockets
from notify_server.comments import CommentWriter
from notify_server.db import Database
from notify_server.drain import Drain, Reconciler
from notify_server.errors import ConfigError, NotifyError, Unavailable
from notify_server.failpoints import arm
from notify_server.gate import Gate
from notify_server.hints import Hints
from notify_server.http import comments, health, notifications, posts
from notify_server.http.body import MAX_BODY_BYTES
from notify_server.http.cors import add_cors_headers, preflight_middleware
from notify_server.http.errors import errors_middleware
from notify_server.http.keys import BODY_FIELD, GATE, READINESS, Readiness, Services
from notify_server.http.page import add_page
from notify_server.http.routes import Handler, add_route
from notify_server.ids import IdColumns
from notify_server.inbox import Change, Inbox, InboxKeeper, ReplayBounds
from notify_server.inbox_requests import InboxRequests
from notify_server.migrate import migrate
from notify_server.outgoing import Outgoing
from notify_server.posts import Posts, load_id_columns
from notify_server.realtime import Realtime
from notify_server.recovery import Recovery
from notify_server.retention import Retention
from notify_server.settings import Settings, vanishing_disk
from notify_server.transport import Limits

log = logging.getLogger(__name__)

_RETRY_S = 1.0
_CUTS_PER_S = 200
# What PostgreSQL says to a wrong DATABASE_URL; libpq gives no code while connecting.
_PERMANENT = re.compile(
    r'password authentication failed|no password supplied|(role|database) ".*" does not exist|no pg_hba'
)


@dataclass(slots=True)
class Lifecycle:
    """`booted` is set when the server can serve, or `failure` says why it never will."""

    booted: asyncio.Event = field(default_factory=asyncio.Event)
    failure: NotifyError | None = None


LIFECYCLE = web.AppKey("lifecycle", Lifecycle)
REALTIME = web.AppKey("realtime", Realtime)


def make_database(settings: Settings) -> Database:
    return Database(
        size=settings.db_pool_size, timeout_s=settings.db_timeout_s, wait_s=settings.db_wait_s,
        connect_timeout_s=settings.db_connect_timeout_s,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def opened(db: Database, settings: Settings) -> AsyncIterator[None]:
    """Opens the database that the settings name, the embedded one where they name none. Raises ConfigError."""
    async with contextlib.AsyncExitStack() as stack:
        named = settings.database
        if named is None:
            if platform := vanishing_disk():
                raise ConfigError(f"DATABASE_URL takes a PostgreSQL: {platform} says that this disk does not last")
            postgres = embedded.running(settings.embedded_dir)
            dsn = await asyncio.to_thread(postgres.__enter__)
            stack.push_async_callback(asyncio.to_thread, postgres.__exit__, None, None, None)
        else:
            dsn, notes = named
            for note in notes:
                log.warning("database_url_adjusted", extra={"change": note})
        db.open(dsn)
        stack.push_async_callback(db.close)
        yield


def create_app(
    settings: Settings,
    extend: Callable[[AsyncServer], None] | None = None,
    fill: Callable[[Database], Awaitable[object]] | None = None,
    page: Path | None = None,
) -> web.Application:
    """The server as an aiohttp application. `extend` is handed the Socket.IO server before the start, for an app's own
    events; `fill` the migrated database, before it serves. It answers 503 until then. `page` is the folder of the
    demo's page, where that is to be served as well. Raises ConfigError."""
    db, outgoing = make_database(settings), Outgoing()
    gate = Gate(settings, make_verifier(settings, db, outgoing.get))
    inbox = Inbox(db, ReplayBounds(settings.replay_max, settings.replay_max_age))
    realtime = Realtime(
        gate, inbox, limits=_limits(settings), max_sockets_per_user=settings.max_sockets_per_user,
        max_payload_bytes=settings.max_payload_bytes, max_replay=settings.recovery_max, recovery=settings.recovery,
    )  # fmt: skip
    arm(settings.failpoints)
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[errors_middleware, _gate_middleware(settings, db, realtime), preflight_middleware],
    )
    app[GATE] = gate
    app[READINESS] = Readiness()
    app[BODY_FIELD] = settings.body_field
    app[LIFECYCLE] = Lifecycle()
    app[REALTIME] = realtime
    app[health.DATABASE] = db
    app.on_response_prepare.append(add_cors_headers)

    realtime.attach(app, settings.socket_path)
    if extend is not None:
        extend(realtime.server)
        realtime.check_handlers()
    add_route(app, "GET", "/livez", health.livez)
    add_route(app, "GET", "/readyz", health.readyz)
    for prefix in ("", settings.api_prefix) if settings.api_prefix else ("",):
        add_route(app, "GET", f"{prefix}/posts", posts.list_all)
        add_route(app, "POST", f"{prefix}/posts", posts.create)
        add_route(app, "GET", f"{prefix}/posts/{{postId}}", posts.get)
        add_route(app, "GET", f"{prefix}/posts/{{postId}}/comments", comments.list_of_post)
        add_route(app, "POST", f"{prefix}/posts/{{postId}}/comments", comments.create)
        add_route(app, "DELETE", f"{prefix}/comments/{{commentId}}", comments.delete)
        add_route(app, "GET", f"{prefix}/me", posts.me)
        for method, path, handler in notifications.ROUTES:
            add_route(app, method, prefix + path, handler)
    if page is not None:
        add_page(app, page, settings)

    async def run(app: web.Application) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(outgoing.close)
            await stack.enter_async_context(opened(db, settings))
            await stack.enter_async_context(in_background(_live(app, settings, db, inbox, realtime, fill)))
            yield

    async def stop_sockets(app: web.Application) -> None:
        app[READINESS].draining = True
        await realtime.stop(settings.drain_s * 0.1)

    app.cleanup_ctx.append(run)
    app.on_shutdown.insert(0, stop_sockets)
    return app


async def drain(app: web.Application, settings: Settings) -> None:
    """Readiness first; then the sockets go, spread over a time, while requests are still answered."""
    app[READINESS].draining = True
    realtime = app[REALTIME]
    await realtime.drain(_spread_s(settings, realtime))


def _limits(settings: Settings) -> Limits:
    proxies = settings.trusted_proxies
    return Limits(
        sockets=max_sockets(settings),
        sockets_per_address=settings.max_sockets_per_address,
        address_of=None if proxies is None else lambda request: proxies.client_of(request.remote, request.headers),
        events_per_s=settings.max_events_per_s,
    )


def _spread_s(settings: Settings, realtime: Realtime) -> float:
    """Long enough that clients do not come back as a herd, at most what leaves time for the rest."""
    return min(settings.drain_s * 0.5, len(realtime.server.eio.sockets) / _CUTS_PER_S)


def _gate_middleware(settings: Settings, db: Database, realtime: Realtime) -> Any:
    """In front of everything. For Socket.IO also: an origin that is not allowed gets nothing, and while the server
    cannot serve, a new session gets 503, upon which clients come back, backing off."""

    @web.middleware
    async def gate_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        gate = request.app[GATE]
        gate.check_way(request)
        if request.path.startswith(settings.socket_path) and request.path.rstrip("/") == settings.socket_path:
            gate.check_origin(request)
            if not request.query.get("sid") and not (realtime.accepting and db.available):
                raise Unavailable("the server is starting or stopping, or its database is away", code="not_ready")
        return await handler(request)

    return gate_middleware


async def _live(
    app: web.Application, settings: Settings, db: Database, inbox: Inbox, realtime: Realtime,
    fill: Callable[[Database], Awaitable[object]] | None,
) -> None:  # fmt: skip
    """From an empty process to one that serves, and what runs behind it; until cancelled."""
    lifecycle = app[LIFECYCLE]
    try:
        ids = await _prepare_database(db)
        if fill is not None:
            await fill(db)
        if settings.recovery:
            realtime.feeds.recovery = await _load_recovery(settings, inbox)
    except NotifyError as error:
        lifecycle.failure = error
        lifecycle.booted.set()
        return
    hints = Hints(
        db, realtime.feeds.changed_elsewhere, dsn=settings.listen_dsn, connect_timeout_s=settings.db_connect_timeout_s
    )

    def told(changes: list[Change]) -> None:
        realtime.feeds.changed(changes)
        hints.tell(change.user_id for change in changes)

    writer = CommentWriter(db, ids, told)
    requests = realtime.inbox = InboxRequests(InboxKeeper(db, told), ids)
    app[READINESS].services = Services(Posts(db, ids), writer, requests)
    realtime.accepting = True
    lifecycle.booted.set()
    log.info("ready")
    work = (
        Drain(db, told).run, Reconciler(db).run, Retention(db, settings.retention_days).run,
        realtime.feeds.watch, realtime.feeds.watch_arrivals, realtime.logins.watch_clock,
        realtime.logins.watch_proofs, hints.run,
    )  # fmt: skip
    try:
        async with in_background(*(kept_running(each) for each in work)):
            await asyncio.Event().wait()
    finally:
        await writer.close()


async def _load_recovery(settings: Settings, inbox: Inbox) -> Recovery:
    given = settings.recovery_secret
    while True:
        try:
            secret = await inbox.secret() if given is None else given.get_secret_value()
            return Recovery(secret, await inbox.epoch())
        except NotifyError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(_RETRY_S)


async def _prepare_database(db: Database) -> IdColumns:
    """Migrates, waiting for a database that is not there yet. Raises what waiting does not mend."""
    while True:
        try:
            await migrate(db)
            return await load_id_columns(db)
        except NotifyError as error:
            if not error.retryable:
                raise
            if _PERMANENT.search(error.message):
                raise ConfigError(f"DATABASE_URL does not open: {error.message}") from error
            log.warning("database_awaited", extra={"code": error.code, "reason": error.message})
            await asyncio.sleep(_RETRY_S)
