"""Clients that do what no library would.

`packets`, `frames` and `scenarios` draw it from a `Random`. What was drawn is plain data, `actions`, which a `client`
plays; `troubles` is what the server must not have because of it.
"""
