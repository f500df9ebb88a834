"""Socket.IO as its reference server for Node has it, on python-socketio and aiohttp; `Server` is a
`socketio.AsyncServer`, and knows nothing of notifications.

    server      python-socketio's server: events, emitting, leaving
    connecting  from a handshake to the answer to CONNECT
    manager     who is connected, and in which room
    parser      Socket.IO packets
    engine      Engine.IO over HTTP: handshake, polling, upgrade, closing
    session     one client, on a transport: polling or websocket
    upgrade     from the one to the other
    packets     Engine.IO packets and frames
    heartbeat, stalls, inbound, limits      what keeps one client from costing the others

A packet that goes out is encoded once and written to each transport at once. One that comes in is handled in the call
that read it, up to the app's handler.
"""

from notify_server.transport.limits import Limits
from notify_server.transport.server import Server

__all__ = ["Limits", "Server"]
