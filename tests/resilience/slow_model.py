"""A model provider in a process of its own: it says as many words, at such a pace, as it is asked to.

    python slow_model.py        prints its port; a question such as "40 words, 50 ms" is answered that way

``GET /count`` returns how many answers were asked for.
"""

from __future__ import annotations

import asyncio
import json
import re

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
asked = 0


def chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
    return (
        b"data: "
        + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}).encode()
        + b"\n\n"
    )


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    global asked
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n%d" % asked)
            return
        asked += 1
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        wish = re.findall(rb"(\d+) words, (\d+) ms", body)
        words, pace = (int(number) for number in wish[-1]) if wish else (1, 0)
        writer.write(HEAD)
        for number in range(words):
            writer.write(chunk({"content": f"word{number} "}))
            await writer.drain()
            await asyncio.sleep(pace / 1000)
        writer.write(chunk({}, "stop") + b"data: [DONE]\n\n")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass  # the client has left
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
