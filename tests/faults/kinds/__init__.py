"""Every kind of fault, by name. A folder of one module for each thing that fails."""

from tests.faults.kinds import client, data, postgres, server
from tests.faults.kinds.kind import KINDS, Kind, NotHere

__all__ = ["KINDS", "Kind", "NotHere", "client", "data", "postgres", "server"]
