"""PostgreSQL through aiopg: a narrow port, and the only importer of aiopg and psycopg2.

What it promises, where aiopg 1.4.0 (unmaintained) does not:
  * a query that the server cancels is a DatabaseTimeout, never a cancelled task;
  * a dead connection is noticed whatever the number of its file descriptor, on asyncio's loop and on uvloop's;
  * waiting for a connection is bounded, and every connection that comes free wakes somebody;
  * connecting holds up nobody who could have had a free connection;
  * every query runs in a transaction of its own, read committed, with a time limit that the server keeps too, and
    leaves no session state behind, so that PgBouncer's transaction mode is fine.
"""

from notify_server.db.listener import Listener, listening
from notify_server.db.pool import Database

__all__ = ["Database", "Listener", "listening"]
