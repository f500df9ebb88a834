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
from notify_server.attachment import Attached, prepare
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
from notify_server.http import comments, direct, health, notifications, posts
from notify_server.http.body import MAX_BODY_BYTES
from notify_server.http.cors import preflight_middleware
from notify_server.http.headers import headers_signal
from notify_server.http.keys import (
    ADDRESS_OF,
    COMMENT_WIRE,
    GATE,
    METERS,
    RATES,
    READINESS,
    TEMPLATES,
    CommentWire,
    Readiness,
    Services,
)
from notify_server.http.page import add_page
from notify_server.http.requests import requests_middleware
from notify_server.http.routes import Handler, add_route, meet
from notify_server.http.static import StaticFiles, static_middleware
from notify_server.ids import IdColumns
from notify_server.inbox import Change, Inbox, InboxKeeper, ReplayBounds
from notify_server.inbox_requests import InboxRequests
from notify_server.meters import Meters
from notify_server.metrics import Collector, measuring_loop, serving_metrics
from notify_server.outgoing import Outgoing
from notify_server.posts import Posts, load_id_columns
from notify_server.rates import WriteRates
from notify_server.realtime import Realtime
from notify_server.recovery import Recovery
from notify_server.retention import Retention
from notify_server.settings import Settings, vanishing_disk
from notify_server.shadow import Shadow
from notify_server.transport import Limits

log = logging.getLogger(__name__)

_RETRY_S = 1.0
RECONCILE_S = 30.0
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
METRICS_PORT = web.AppKey("metrics_port", int)
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
    limits = _limits(settings)
    meters = Meters()
    rates = WriteRates(
        settings.rate_limit_user, settings.rate_limit_inbox, settings.rate_limit_address, meters.rate_limited
    )
    realtime = Realtime(
        gate, inbox, limits=limits, rates=rates, meters=meters, max_sockets_per_user=settings.max_sockets_per_user,
        max_payload_bytes=settings.max_payload_bytes, max_replay=settings.recovery_max, recovery=settings.recovery,
        sid_prefix=f"{settings.sid_prefix}." if settings.sid_prefix else "",
    )  # fmt: skip
    arm(settings.failpoints)
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[
            requests_middleware,
            _handshake_middleware(settings, db, realtime),
            preflight_middleware,
            *([] if settings.static_dir is None else [static_middleware(StaticFiles(settings.static_dir), settings)]),
        ],
    )
    app[GATE] = gate
    app[READINESS] = Readiness()
    app[METERS] = meters
    app[RATES] = rates
    app[ADDRESS_OF] = limits.address_of or (lambda _request: None)
    app[COMMENT_WIRE] = CommentWire(
        settings.comment_status, settings.body_field, settings.post_field, settings.comment_route.in_path
    )
    app[LIFECYCLE] = Lifecycle()
    app[REALTIME] = realtime
    app[health.DATABASE] = db
    app.on_response_prepare.append(headers_signal)

    realtime.attach(app, settings.socket_path)
    app[TEMPLATES] = dict.fromkeys(app.router.resources(), settings.socket_path)
    if extend is not None:
        extend(realtime.server)
        realtime.check_handlers()
    _add_routes(app, settings)
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

    async def measure(app: web.Application) -> AsyncIterator[None]:
        if settings.metrics_port is None:
            yield
            return
        collector = Collector(meters, db, realtime.server, lambda: realtime.feeds.users)
        async with serving_metrics(collector, settings.metrics_host, settings.metrics_port) as port:
            app[METRICS_PORT] = port
            async with in_background(measuring_loop(meters)):
                yield

    app.cleanup_ctx.extend([measure, run])
    app.on_shutdown.insert(0, stop_sockets)
    return app


def _add_routes(app: web.Application, settings: Settings) -> None:
    """Raises ConfigError where the route of comments is one that others have."""
    add_route(app, "GET", "/livez", health.livez)
    add_route(app, "GET", "/readyz", health.readyz)
    below = (
        ("GET", "/posts", posts.list_all),
        ("POST", "/posts", posts.create),
        ("GET", "/posts/{postId}", posts.get),
        ("DELETE", "/comments/{commentId}", comments.delete),
        ("GET", "/me", posts.me),
        *notifications.ROUTES,
    )
    route = settings.comment_route
    taken = {path for _, path, _ in below} | {settings.socket_path, "/livez", "/readyz"}
    if route.template.lower() in {path.lower() for path in taken}:
        raise ConfigError(f"COMMENT_ROUTE={route} is another route of notify-server's: take one of its own")
    prefixes = ("", settings.api_prefix) if settings.api_prefix else ("",)
    others = {settings.socket_path, *(prefix + path for prefix in prefixes for _, path, _ in below)}
    app[direct.ROUTES] = []
    for prefix in prefixes:
        for method, path, handler in below:
            add_route(app, method, prefix + path, handler)
        add_route(app, "GET", prefix + route.template, comments.list_of_post)
        added = add_route(app, "POST", prefix + route.template, comments.create)
        # of routes that meet in a path, aiohttp takes the one that was added first
        if not any(meet(prefix + route.template, other) for other in others):
            app[direct.ROUTES].append(added)


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


def _handshake_middleware(settings: Settings, db: Database, realtime: Realtime) -> Any:
    """For Socket.IO: an origin that is not allowed gets nothing, and while the server cannot serve, a new session gets
    503, upon which clients come back, backing off."""

    @web.middleware
    async def handshake_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(settings.socket_path) and request.path.rstrip("/") == settings.socket_path:
            begins = not request.query.get("sid")
            try:
                request.app[GATE].check_origin(request)
                if begins and not (realtime.accepting and db.available):
                    raise Unavailable("the server is starting or stopping, or its database is away", code="not_ready")
            except NotifyError as error:
                if begins:
                    realtime.count_handshake(error.code)
                raise
        return await handler(request)

    return handshake_middleware


async def _live(
    app: web.Application, settings: Settings, db: Database, inbox: Inbox, realtime: Realtime,
    fill: Callable[[Database], Awaitable[object]] | None,
) -> None:  # fmt: skip
    """From an empty process to one that serves, and what runs behind it; until cancelled."""
    lifecycle = app[LIFECYCLE]
    try:
        attached, ids = await _prepare_database(db)
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

    meters = app[METERS]
    shadow = Shadow() if settings.shadow else None

    def told(changes: list[Change]) -> None:
        for change in changes:
            if change.cause is not None:
                meters.stored[change.cause.source] += len(change.body.get("added", ()))
        if shadow is not None:
            shadow.count(changes)
            return
        realtime.feeds.changed(changes)
        hints.tell(change.user_id for change in changes)

    def missing(triggers: list[list[str]]) -> None:
        app[READINESS].missing_triggers = triggers

    if attached.unwritable:
        log.info("comments_read_only", extra={"reasons": list(attached.unwritable)})
    writer = CommentWriter(db, ids, told, meters=meters, is_writable=not (attached.unwritable or settings.shadow))
    requests = realtime.inbox = InboxRequests(InboxKeeper(db, told), ids)
    app[READINESS].services = Services(
        Posts(db, ids, is_writable=not (attached.posts_unwritable or settings.shadow)), writer, requests
    )
    realtime.accepting = not settings.shadow
    lifecycle.booted.set()
    log.info("ready")
    work = (
        Drain(db, told, meters, shadow=settings.shadow).run, Reconciler(db, RECONCILE_S, missing).run,
        Retention(db, settings.retention_days).run, realtime.feeds.watch, realtime.feeds.watch_arrivals,
        realtime.logins.watch_clock, realtime.logins.watch_proofs, hints.run,
        *(() if shadow is None else (shadow.run,)),
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


async def _prepare_database(db: Database) -> tuple[Attached, IdColumns]:
    """Migrates, waiting for a database that is not there yet. Raises what waiting does not mend."""
    while True:
        try:
            attached = await prepare(db)
            return attached, await load_id_columns(db)
        except NotifyError as error:
            if not error.retryable:
                raise
            if _PERMANENT.search(error.message):
                raise ConfigError(f"DATABASE_URL does not open: {error.message}") from error
            log.warning("database_awaited", extra={"code": error.code, "reason": str(error)})
            await asyncio.sleep(_RETRY_S)
