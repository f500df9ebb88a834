"""notify-server beside the server that it replaces, doing the same work on the same PostgreSQL in the same run.

    make bench                                             all of it
    python -m benchmarks --only http,delivery --rounds 1   some of it

Linux with two cores: each server runs on the first, PostgreSQL and the load on the second, with a fresh process and a
fresh database for each measure and round. notify-server runs with its default settings.
"""
