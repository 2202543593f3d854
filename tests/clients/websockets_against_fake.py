"""Runs websockets, a third-party WebSocket library, against the fake exchanges.

usage: websockets_against_fake.py HTTP_BASE CONTROL_BASE

Needs a fake whose Binance ends streams after a few seconds. Exits with 1 and
the first deviation from that exchange's documents.
"""

import asyncio
import json

import websockets

from fakes import STREAM, WAIT, check, fail, hold


def connect(path):
    # The exchanges' own pings are enough. A client that stops reading closes late, since its queue is full.
    return websockets.connect(f"{STREAM}{path}", ping_interval=None, open_timeout=WAIT, close_timeout=1)


async def message(socket):
    return await asyncio.wait_for(socket.recv(), WAIT)


async def upbit_family(venue):
    async with connect(f"/{venue}/websocket/v1") as socket:
        await socket.send(json.dumps([{"ticket": "t"}, {"type": "ticker", "codes": ["KRW-BTC"]}, {"format": "DEFAULT"}]))
        for stream_type in ["SNAPSHOT", "REALTIME"]:
            if stream_type == "REALTIME":
                # The next trade of the walk may be a minute away.
                hold(venue, "BTC-KRW", "142187000")
            frame = await message(socket)
            if not isinstance(frame, bytes):
                fail(f"{venue}: a frame that is not binary: {frame}")
            received = json.loads(frame)
            check(f"{venue} streams {stream_type}", received["stream_type"] == stream_type and received["type"] == "ticker", True)
        await asyncio.wait_for(await socket.ping(), WAIT)
        print(f"ok {venue} answers a ping")
        await socket.send("PING")
        while json.loads(await message(socket)) != {"status": "UP"}:
            pass
        print(f"ok {venue} answers the text PING")
        await socket.send("[]")
        try:
            while "error" not in (received := json.loads(await message(socket))):
                pass
            check(f"{venue}, a request without a ticket", received["error"]["name"] == "NO_TICKET", True)
            await message(socket)
            fail(f"{venue}: still open after an error")
        except websockets.ConnectionClosed as closed:
            check(f"{venue} closes after an error", closed.rcvd.code, 1000)


async def binance():
    names = ["ticker", "miniTicker"]
    streams = "/".join(f"btcusdt@{name}" for name in names)
    async with connect(f"/binance/stream?streams={streams}") as socket:
        seen, prices = set(), ["96397.12", "96397.13"]
        while seen != {f"btcusdt@{name}" for name in names}:
            hold("binance", "BTC-USDT", prices[len(seen) % 2])
            prices.reverse()
            received = json.loads(await message(socket))
            if received.get("e") != "serverShutdown":
                seen.add(received["stream"])
        print(f"ok binance streams {', '.join(names)}")
    async with connect("/binance/ws") as socket:
        await socket.send(json.dumps({"method": "SUBSCRIBE", "params": ["btcusdt@ticker"], "id": "x1"}))
        check("binance acknowledges", json.loads(await message(socket)) == {"result": None, "id": "x1"}, True)
        try:
            while json.loads(await message(socket)).get("e") != "serverShutdown":
                pass
            print("ok binance announces the end of the stream")
            while True:
                await message(socket)
        except websockets.ConnectionClosed as closed:
            check("binance ends the stream", closed.rcvd.code, 1001)


async def refused():
    for count in range(20):
        try:
            async with connect("/upbit/websocket/v1"):
                pass
        except websockets.InvalidStatus as error:
            check(f"upbit refuses connection {count + 1} of a second", error.response.status_code, 429)
            return
    fail("upbit accepted twenty connections at once")


async def run_all():
    await upbit_family("upbit")
    await upbit_family("bithumb")
    await binance()
    await refused()


asyncio.run(run_all())
print("all well")
