"""Minutes of good and hostile clients against the transport in a process of its own, after which all must be as before.

`server` is that process, an app with rooms; `load` are the clients.
"""
