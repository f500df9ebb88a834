"""The load: one thread, one epoll, and just enough of HTTP, WebSocket and Engine.IO to be faster than any server."""
