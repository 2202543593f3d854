"""Prints the rows of a board as they change: python follow.py [BOARD SERVER]"""

import asyncio, json, logging, random, sys
from decimal import Decimal

from websockets import ConnectionClosed, InvalidStatus, connect

BOARD, SERVER = sys.argv[1:] or ("krw", "ws://127.0.0.1:8080")
REFUSED = {1002, 1003, 1007, 1009, *range(3500, 4000)}  # close codes that mean: do not reconnect


def show(market, state, last, change, **_):
    if state in ("live", "delayed"):
        print(market, format(Decimal(last), "f"), change["percent"] + "%" if change else "–", state, flush=True)
    else:
        print(market, "not current:", state, "last price", last, flush=True)


async def follow():
    rows, resume, wait = {}, None, 1
    # This retries with back-off, but not after a 4xx.
    async for socket in connect(SERVER + "/api/v1/stream", close_timeout=1):
        try:
            await socket.send(json.dumps({"type": "subscribe", "board": BOARD, "resume": resume}))
            while True:
                message = json.loads(await asyncio.wait_for(socket.recv(), 30))  # a heartbeat comes every 15 s
                if message["type"] == "error":
                    if message["retryable"]:
                        break
                    return f"refused: {message['message']}"
                if message["type"] == "snapshot":
                    rows = {}
                for changed in message.get("rows", []):
                    rows[changed["market"]] = rows.get(changed["market"], {}) | changed
                    show(**rows[changed["market"]])
                if "sequence" in message:
                    resume, wait = {"epoch": message["epoch"], "sequence": message["sequence"]}, 1
                wait = message.get("retry_after_ms", 1000 * wait) / 1000
        except (TimeoutError, ConnectionClosed) as error:
            if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code in REFUSED:
                return f"refused: {error}"
            print("not connected:", repr(error), file=sys.stderr)
        await asyncio.sleep(random.uniform(wait, 2 * wait))
        wait = min(max(2 * wait, 1), 60)


logging.basicConfig(level=logging.INFO)
try:
    sys.exit(asyncio.run(follow()))
except InvalidStatus as error:
    sys.exit(f"refused: {error}")
