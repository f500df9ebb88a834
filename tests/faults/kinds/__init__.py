"""Every kind of fault, by name. A folder of one module for each thing that fails."""

from tests.faults.kinds import client, data, postgres, server
from tests.faults.kinds.kind import KINDS, Kind, NotHere, NotNow

__all__ = ["KINDS", "Kind", "NotHere", "NotNow", "client", "data", "postgres", "server"]
