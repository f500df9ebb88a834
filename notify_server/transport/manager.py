"""Who is connected and in which room; python-socketio's manager, in time and memory of O(1) for each socket.

Invariants:
  * `rooms[namespace][None]` maps the sids of a namespace, pending ones too, to their Engine.IO sessions;
  * a socket's own room is never stored: it is the socket;
  * what leaves the manager leaves every room by an index, not by looking through all rooms.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import socketio
from bidict import bidict
from socketio import packet

from notify_server.transport.packets import Encoded, message
from notify_server.transport.session import Session

_NOBODY: dict[str | None, Any] = {}


class Manager(socketio.AsyncManager):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.rooms: dict[str, dict[str | None, Any]] = {}
        self.pending_connect: dict[str, dict[str, None]] = {}  # ordered sets
        self.pending_disconnect: dict[str, dict[str, None]] = {}
        self._joined: dict[tuple[str, str], set[str]] = {}
        self._ack_ids = itertools.count(1)
        self._dump: Callable[[Any], bytes] | None = None
        self.guards_offsets = False
        self._sessions: dict[str, Session] = {}

    def set_server(self, server: Any) -> None:
        super().set_server(server)
        self._dump = getattr(self.json, "dump_bytes", None)
        self._sessions = server.eio.sockets

    # --- connecting and leaving -----------------------------------------------------------------------------------

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        return self.register(eio_sid, namespace)

    def register(self, eio_sid: str, namespace: str) -> str | None:
        """A new sid, pending until `connect`; None where the session is in this namespace already."""
        sockets = self.rooms.setdefault(namespace, {}).setdefault(None, bidict())
        if eio_sid in sockets.inverse:
            return None
        sid: str = self.server.eio.generate_id()
        sockets[sid] = eio_sid
        self.pending_connect.setdefault(namespace, {})[sid] = None
        return sid

    async def connect(self, sid: str, namespace: str) -> str | None:
        if not self.is_pre_connected(sid, namespace):
            return await self.pre_connect(sid, namespace)
        _discard(self.pending_connect, namespace, sid)
        return sid

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        return sid in self.pending_connect.get(namespace, ())

    def is_connected(self, sid: str, namespace: str) -> bool:
        return (
            sid in self.rooms.get(namespace, {}).get(None, ())
            and sid not in self.pending_connect.get(namespace, ())
            and sid not in self.pending_disconnect.get(namespace, ())
        )

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        self.pending_disconnect.setdefault(namespace, {})[sid] = None
        return self.eio_sid_from_sid(sid, namespace)

    def basic_disconnect(self, sid: str, namespace: str, **_options: Any) -> None:
        for room in self._joined.pop((namespace, sid), ()):
            _discard(self.rooms[namespace], room, sid)
        if namespace in self.rooms:
            _discard(self.rooms[namespace], None, sid)
            if not self.rooms[namespace]:
                del self.rooms[namespace]
        self.callbacks.pop(sid, None)
        _discard(self.pending_connect, namespace, sid)
        _discard(self.pending_disconnect, namespace, sid)

    # --- rooms ----------------------------------------------------------------------------------------------------

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        sockets = self.rooms.get(namespace, {}).get(None)
        return None if sockets is None else sockets.inverse.get(eio_sid)

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        found: str | None = self.rooms.get(namespace, {}).get(None, {}).get(sid)
        return found

    def basic_enter_room(self, sid: str, namespace: str, room: str, eio_sid: str | None = None) -> None:
        """Raises ValueError where the socket is not in the namespace, or the room is another socket's own."""
        eio_sid = eio_sid or self.eio_sid_from_sid(sid, namespace)
        if eio_sid is None:
            raise ValueError("sid is not connected to requested namespace")
        if room == sid:
            return
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        self.rooms[namespace].setdefault(room, {})[sid] = eio_sid
        self._joined.setdefault((namespace, sid), set()).add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: str) -> None:
        joined = self._joined.get((namespace, sid))
        if joined is None or room not in joined:
            return
        _discard(self.rooms[namespace], room, sid)
        joined.remove(room)
        if not joined:
            del self._joined[namespace, sid]

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        if self.eio_sid_from_sid(sid, namespace) is None:
            return []
        return [sid, *self._joined.get((namespace, sid), ())]

    def get_participants(self, namespace: str, room: Any) -> list[tuple[str, str]]:
        """(sid, Engine.IO sid) of those in a room, in any of a list of rooms, or, for None, of all that have got past
        their connect handler."""
        rooms = self.rooms.get(namespace)
        if rooms is None:
            return []
        if isinstance(room, str):
            members = rooms.get(room)
            if members is not None:
                return list(members.items())
            eio_sid = self.eio_sid_from_sid(room, namespace)
            return [] if eio_sid is None else [(room, eio_sid)]
        if room is None:
            pending = self.pending_connect.get(namespace, ())
            return [item for item in rooms.get(None, {}).items() if item[0] not in pending]
        return list({sid: eio for each in room for sid, eio in self.get_participants(namespace, each)}.items())

    # --- emitting -------------------------------------------------------------------------------------------------

    async def emit(
        self, event: str, data: Any, namespace: str, room: Any = None, skip_sid: Any = None,
        callback: Callable[..., Any] | None = None, to: Any = None, **_options: Any,
    ) -> None:  # fmt: skip
        args = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        if callback is None and skip_sid is None:
            self.emit_now(event, args, namespace, to or room)
            return
        skipped = {skip_sid} if isinstance(skip_sid, str) else set(skip_sid or ())
        participants = [item for item in self.get_participants(namespace, to or room) if item[0] not in skipped]
        if callback is None:
            self._send_to([eio_sid for _sid, eio_sid in participants], self.encode(event, args, namespace))
            return
        for sid, eio_sid in participants:
            ack_id = self._generate_ack_id(sid, callback)
            self._send_to([eio_sid], self.encode(event, args, namespace, ack_id))

    def emit_now(
        self, event: str, args: Iterable[Any], namespace: str, room: Any, offset: str | None = None,
        mark: int | None = None,
    ) -> None:  # fmt: skip
        """Encodes once, and hands it to every transport without awaiting anything."""
        members = self.rooms.get(namespace, _NOBODY).get(room) if isinstance(room, str) else None
        if members is None:
            members = dict(self.get_participants(namespace, room))
        if members:
            eio_sids = list(members.values())
            self._send_to(eio_sids, self.encode(event, args, namespace, offset=offset))
            if mark is not None:
                self._prove(eio_sids, mark)

    def encode(
        self, event: str, args: Iterable[Any], namespace: str, ack_id: int | None = None, offset: str | None = None
    ) -> list[Encoded]:
        """An event's packet and its attachments. Raises TypeError for what JSON cannot hold."""
        data = [event, *args]
        if offset is not None:
            data.append(offset)
        elif self.guards_offsets and ack_id is None and namespace == "/" and isinstance(data[-1], str):
            data.append(None)
        if namespace == "/" and ack_id is None and self._dump is not None:
            try:
                return [Encoded(b"42" + self._dump(data))]
            except TypeError:
                pass  # bytes, most likely: they travel beside the JSON
        encoded = self.server.packet_class(packet.EVENT, namespace=namespace, data=data, id=ack_id).encode()
        return [message(part) for part in (encoded if isinstance(encoded, list) else [encoded])]

    def _send_to(self, eio_sids: Iterable[str], packets: list[Encoded]) -> None:
        sessions = self._sessions
        for eio_sid in eio_sids:
            session = sessions.get(eio_sid)
            if session is not None:
                for encoded in packets:
                    session.transport.send(encoded)

    def _prove(self, eio_sids: Iterable[str], mark: int) -> None:
        for eio_sid in eio_sids:
            session = self._sessions.get(eio_sid)
            if session is not None:
                session.prove(mark)

    # --- acknowledgements -----------------------------------------------------------------------------------------

    def _generate_ack_id(self, sid: str, callback: Callable[..., Any]) -> int:
        """Never 0, under which python-socketio keeps its counter among the callbacks."""
        ack_id = next(self._ack_ids)
        self.callbacks.setdefault(sid, {})[ack_id] = callback
        return ack_id

    async def trigger_callback(self, sid: str, id: int | None, data: list[Any]) -> None:  # noqa: A002
        """An id that was not given out, or twice, is ignored."""
        callbacks = self.callbacks.get(sid)
        callback = callbacks.pop(id, None) if callbacks is not None else None
        if callback is None:
            return
        if not callbacks:
            del self.callbacks[sid]
        result = callback(*data)
        if asyncio.iscoroutine(result):
            await result


def _discard(groups: dict[Any, Any], key: Any, member: str) -> None:
    """Takes a member out of its group, and an empty group out of the groups."""
    group = groups.get(key)
    if group is not None:
        group.pop(member, None)
        if not group:
            del groups[key]
