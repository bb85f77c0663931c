"""The time from when a server writes the first piece of an answer until the piece is in Lua."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from llmspell import Runtime, tool
from llmspell.config import Project, Settings
from llmspell.providers.settings import ProviderSettings
from llmspell.state import MemoryStore

CALLS = 200

# The first piece is its own time stamp; the rest follows once the connection has been idle.
SERVER = """
import asyncio, json, time
def chunk(text=None, reason=None):
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": reason}
    data = {"id": "1", "object": "chat.completion.chunk", "model": "mock", "choices": [choice]}
    return f"data: {json.dumps(data)}\\n\\n".encode()
async def serve(reader, writer):
    request = await reader.readuntil(b"\\r\\n\\r\\n")
    await reader.readexactly(int(request.lower().split(b"content-length: ")[1].split(b"\\r\\n")[0]))
    writer.write(b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\n\\r\\n")
    await asyncio.sleep(0.01)
    writer.write(chunk(str(time.monotonic())))
    await asyncio.sleep(0.01)
    writer.write(chunk(None, "stop") + b"data: [DONE]\\n\\n")
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


async def measure(url: str) -> list[float]:
    """Return the seconds from the server's clock to this process's, which is the same clock."""
    taken: list[float] = []

    @tool
    async def arrived(piece: str) -> None:
        taken.append(time.monotonic() - float(piece))

    settings = Settings(providers={"mock": ProviderSettings(base_url=url)}, model="mock/mock")
    with TemporaryDirectory() as folder:
        project = Project(Path(folder), settings)
        async with Runtime(project=project, tools=[arrived], store=MemoryStore()) as runtime:
            await runtime.execute(f"""
                for i = 1, {CALLS} do
                  for piece in Agent.create{{}}:stream("Hello") do arrived{{piece = piece}} end
                end
            """)
    return taken


def main() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            taken = asyncio.run(measure(f"http://127.0.0.1:{int(server.stdout.readline())}/v1"))
        finally:
            server.kill()
    middle, nine_of_ten = statistics.median(taken), sorted(taken)[len(taken) * 9 // 10]
    print(
        f"first byte to Lua   {middle * 1e3:5.2f} ms in the median, {nine_of_ten * 1e3:5.2f} of 90 %"
    )


if __name__ == "__main__":
    main()
