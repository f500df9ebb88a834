"""The bad network does what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from tests.faults.proxy import Proxy
from tests.waiting import eventually

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """In front of an echo."""
    echoing: set[asyncio.Task[None] | None] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        echoing.add(asyncio.current_task())
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = await Proxy(server.sockets[0].getsockname()[1], Random(1)).start()
    yield proxy
    await proxy.stop()
    server.close()
    await asyncio.wait([task for task in echoing if task is not None] or [asyncio.create_task(asyncio.sleep(0))])


@pytest.fixture
async def connection(proxy: Proxy) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.close()


async def say(connection: Connection, text: bytes) -> bytes:
    connection[1].write(text)
    async with asyncio.timeout(5):
        return await connection[0].readexactly(len(text))


async def silent(connection: Connection) -> bool:
    try:
        async with asyncio.timeout(0.2):
            await connection[0].read(1)
    except TimeoutError:
        return True
    return False


async def test_it_hands_on_what_it_gets(connection: Connection) -> None:
    assert await say(connection, b"hello" * 50_000) == b"hello" * 50_000


async def test_delayed_and_split_it_is_the_same(proxy: Proxy, connection: Connection) -> None:
    proxy.delay_s, proxy.splits = 0.05, True
    text = bytes(range(256)) * 10
    assert await say(connection, text) == text


async def test_a_stalled_connection_says_nothing_until_it_is_healed(proxy: Proxy, connection: Connection) -> None:
    await say(connection, b"a")
    proxy.stall()
    connection[1].write(b"b")
    assert await silent(connection)
    proxy.heal()
    assert await connection[0].readexactly(1) == b"b"


async def test_what_is_not_read_comes_later(proxy: Proxy, connection: Connection) -> None:
    await say(connection, b"a")
    proxy.stop_reading()
    connection[1].write(b"b")
    assert await silent(connection)
    proxy.heal()
    assert await connection[0].readexactly(1) == b"b"


async def test_a_reset_is_one(proxy: Proxy, connection: Connection) -> None:
    await say(connection, b"a")
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        await connection[0].read()
    await eventually(lambda: not proxy.links)


async def test_a_chunk_is_cut_in_the_middle(proxy: Proxy, connection: Connection) -> None:
    await say(connection, b"a")
    proxy.truncate()
    connection[1].write(b"b" * 100)
    with pytest.raises(ConnectionResetError):
        await connection[0].read()
    assert proxy.cuts == 1


async def test_a_refused_connection_is_reset(proxy: Proxy) -> None:
    proxy.refuses = True
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_the_answer_to_one_message_is_swallowed_and_the_connection_reset(
    proxy: Proxy, connection: Connection
) -> None:
    proxy.drop_reply(b"COMMIT")
    assert await say(connection, b"SELECT") == b"SELECT"
    connection[1].write(b"COMMIT Z\x00\x00\x00\x05I")
    with pytest.raises(ConnectionResetError):
        await connection[0].readexactly(1)
    assert proxy.cuts == 1
