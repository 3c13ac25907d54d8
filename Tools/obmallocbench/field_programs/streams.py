"""asyncio: many streams on loopback are read 64 KiB at a time, parsed by lines, and closed."""
import asyncio

import phases

READ = 1 << 16
LINES = 3_000               # that each connection sends
HOST = "127.0.0.1"


async def answer(reader, writer) -> None:
    """Send the lines of the number that was asked for."""
    number = int(await reader.readline())
    for first in range(0, LINES, 100):
        writer.write(b"".join(b"%d %d %s\n" % (number, line, b"x" * (line % 60))
                              for line in range(first, first + 100)))
        await writer.drain()
    writer.close()


async def fetch(port: int, number: int) -> tuple[int, int]:
    """Read an answer to its end; return how many bytes and lines it had."""
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"%d\n" % number)
    pieces = []
    while piece := await reader.read(READ):
        pieces.append(piece)
    writer.close()
    await writer.wait_closed()
    lines = b"".join(pieces).split(b"\n")
    await asyncio.sleep(0)          # all others have their turn while this is held
    return sum(map(len, pieces)), len(lines) - 1


async def serve_and_fetch(connections: int) -> list[tuple[int, int]]:
    """Open all connections at once; return what each read."""
    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await asyncio.gather(*(fetch(port, number) for number in range(connections)))


def work(connections: int, _) -> list[int]:
    """Serve and fetch; return some lengths."""
    read = asyncio.run(serve_and_fetch(connections))
    assert len(read) == connections and all(lines == LINES for _, lines in read)
    return [length for length, _ in read[::10]]


phases.run("streams", work, {"connections": 160})
