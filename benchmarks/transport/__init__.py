"""The Socket.IO transport beside socket.io on Node: memory, idle CPU, connects, emits.

    make bench-transport                                       all of it, about seven minutes
    python -m benchmarks.transport --only fanout --rounds 5    one measure

Linux with two cores: each server runs on the first, the load on the second, a fresh process per measure and round. The
figures are those of WebSockets without permessage-deflate, which only stock python-socketio accepts by default.
"""
