"""What was counted, as Prometheus reads it, on a port of its own. The README lists all of it."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector as PrometheusCollector

from notify_server.db import Database
from notify_server.drain import Backlog, backlog
from notify_server.errors import ConfigError, NotifyError
from notify_server.meters import Histogram, Meters
from notify_server.transport import Server

_LOOP_LOOK_S = 0.25


class Collector(PrometheusCollector):
    """`users` gives how many have sockets."""

    def __init__(self, meters: Meters, db: Database, server: Server, users: Callable[[], int]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._meters = meters
        self._db = db
        self._server = server
        self._users = users
        self._backlog: Backlog | None = None

    async def look(self) -> None:
        """At what only the database knows. Without it, those metrics are absent."""
        try:
            self._backlog = await backlog(self._db)
        except NotifyError:
            self._backlog = None

    def collect(self) -> Iterable[Metric]:
        yield from self._sockets()
        yield from self._notifications()
        yield from self._database()
        yield from self._http()

    def _sockets(self) -> Iterable[Metric]:
        meters, engine = self._meters, self._server.eio
        open_now = collections.Counter(session.transport.name for session in engine.sockets.values())
        yield _gauge("connections", "Open sockets", "transport", {"polling": 0, "websocket": 0, **open_now})
        yield GaugeMetricFamily("notify_users", "Users with open sockets", self._users())
        outcomes = {**meters.handshakes, "old_protocol": engine.old_clients, "full": engine.full}
        yield _counter("handshakes", "Handshakes, by how they ended", "outcome", {"accepted": 0, **outcomes})
        yield _counter("cuts", "Sockets that the server cut", "reason", engine.cuts)
        unknown = sum(self._server.unknown_events.values())
        yield CounterMetricFamily("notify_unknown_events", "Events of clients that nobody handles", unknown)

    def _notifications(self) -> Iterable[Metric]:
        meters = self._meters
        stored, emitted = {"post": 0, "outbox": 0, **meters.stored}, {"post": 0, "outbox": 0, **meters.emitted}
        yield _counter("stored", "Notifications put into inboxes by this server", "source", stored)
        yield _counter("emitted", "Notifications sent to users' sockets", "source", emitted)
        yield _histogram("lag_seconds", "From the commit to the emit", "source", meters.lag_s)
        yield CounterMetricFamily("notify_replays", "Sockets that were caught up", meters.replays)
        yield CounterMetricFamily("notify_poisoned", "Outbox rows set aside by this server", meters.poisoned)
        yield _histogram("batch_rows", "Comments written in one commit", None, {"": meters.batch_rows})

    def _database(self) -> Iterable[Metric]:
        db = self._db
        yield GaugeMetricFamily("notify_database_up", "1 where the last query was answered", int(db.available))
        connections = {"size": db.size, "in_use": db.in_use, "waiting": db.waiting}
        yield _gauge("pool", "Connections to the database, and calls that wait for one", "state", connections)
        waiting = self._backlog
        if waiting is not None:
            yield GaugeMetricFamily("notify_outbox_rows", "Rows in the outbox, counted to 10,000", waiting.rows)
            yield GaugeMetricFamily("notify_outbox_oldest_seconds", "How long the oldest has waited", waiting.oldest_s)
            yield GaugeMetricFamily("notify_poison_rows", "Outbox rows set aside, counted to 10,000", waiting.poison)

    def _http(self) -> Iterable[Metric]:
        meters = self._meters
        requests = CounterMetricFamily("notify_http_requests", "Requests", labels=["method", "route", "status"])
        for (method, route, status), count in sorted(meters.requests.items()):
            requests.add_metric([method, route, str(status)], count)
        yield requests
        yield _histogram("http_request_seconds", "How long requests took", "route", meters.request_s)
        limited = {"user": 0, "inbox": 0, "address": 0, **meters.rate_limited}
        yield _counter("rate_limited", "Writes that were answered 429", "limit", limited)
        yield _histogram("loop_lag_seconds", "How late the event loop was", None, {"": meters.loop_lag_s})


def _gauge(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"notify_{name}", what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, what: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"notify_{name}", what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _histogram(name: str, what: str, label: str | None, values: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(f"notify_{name}", what, labels=[] if label is None else [label])
    for key, histogram in values.items():
        buckets, so_far = [], 0
        for bound, count in zip([*map(str, histogram.bounds), "+Inf"], histogram.counts, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        family.add_metric([] if label is None else [key], buckets, histogram.total)
    return family


async def measuring_loop(meters: Meters) -> None:
    """Until cancelled."""
    while True:
        due = time.monotonic() + _LOOP_LOOK_S
        await asyncio.sleep(_LOOP_LOOK_S)
        meters.loop_lag_s.add(max(0.0, time.monotonic() - due))


@contextlib.asynccontextmanager
async def serving_metrics(collector: Collector, host: str, port: int) -> AsyncIterator[int]:
    """`GET /metrics`, and nothing else. Gives the port. Raises ConfigError where it cannot be had."""

    async def metrics(request: web.Request) -> web.Response:
        await collector.look()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(collector.registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else error.strerror
            raise ConfigError(f"METRICS_PORT {port} at {host}: {reason}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
