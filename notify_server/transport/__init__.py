"""Socket.IO and Engine.IO: python-socketio with what the wire contract needs beyond it."""

from notify_server.transport.server import Server

__all__ = ["Server"]
