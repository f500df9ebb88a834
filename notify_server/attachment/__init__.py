"""Which tables of an app we work with: found in its catalogue, connected by views and triggers, and let go again.

catalogue   what PostgreSQL says of the app's tables
spec        which tables and columns mean people, posts and comments; why they may not
script      the SQL that connects them
attachment  does it
history     writes what was there before into the inboxes
"""

from notify_server.attachment.attachment import (
    Attached,
    attach,
    attached,
    choose,
    connect_tables,
    detach,
    has_views,
    missing_triggers,
    prepare,
    proposed,
)
from notify_server.attachment.catalogue import Catalogue, read_catalogue
from notify_server.attachment.history import backfill
from notify_server.attachment.spec import Options, Spec

__all__ = [
    "Attached", "Catalogue", "Options", "Spec", "attach", "attached", "backfill", "choose", "connect_tables",
    "detach", "has_views", "missing_triggers", "prepare", "proposed", "read_catalogue",
]  # fmt: skip
