"""Runs ccxt, a client library by others, against the fake exchanges.

usage: ccxt_against_fake.py HTTP_BASE CONTROL_BASE

Only the base URLs are changed. Prices are compared with the control server's
truth; exits 1 with what differs.
"""

import asyncio
import json
import sys
import urllib.request

import ccxt
import ccxt.pro

BASE, CONTROL = sys.argv[1], sys.argv[2]
STREAM = BASE.replace("http", "ws", 1)
WAIT = 20
VENUES = ("upbit", "bithumb", "binance")


def truth(venue, market):
    with urllib.request.urlopen(f"{CONTROL}/truth?venue={venue}&market={market}") as answer:
        return json.load(answer)["markets"][0]


def hold(venue, market, price):
    order = {"venue": venue, "market": market, "price": price, "hold": True}
    request = urllib.request.Request(f"{CONTROL}/price", json.dumps(order).encode())
    urllib.request.urlopen(request).close()


def redirect(urls, venue):
    """Puts our base in place of the scheme and host of every URL, at any depth."""
    if isinstance(urls, dict):
        return {name: redirect(url, venue) for name, url in urls.items()}
    if isinstance(urls, list):
        return [redirect(url, venue) for url in urls]
    scheme, rest = urls.split("://", 1)
    base = STREAM if scheme.startswith("ws") else BASE
    path = rest[rest.find("/"):] if "/" in rest else ""
    return f"{base}/{venue}{path}"


def client(library, venue):
    options = {"enableRateLimit": True, "timeout": WAIT * 1000}
    if venue == "binance":
        options["options"] = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}
    made = getattr(library, venue)(options)
    made.urls["api"] = redirect(made.urls["api"], venue)
    return made


def check(what, got, wanted):
    if float(got) != float(wanted):
        raise SystemExit(f"{what}: {got}, not {wanted}")
    print(f"ok {what}: {got}")


def rest(venue, symbol, market, price):
    exchange = client(ccxt, venue)
    markets = exchange.load_markets()
    if symbol not in markets:
        raise SystemExit(f"{venue}: {symbol} is not among {sorted(markets)}")
    hold(venue, market, price)
    check(f"{venue} fetch_ticker", exchange.fetch_ticker(symbol)["last"], price)
    check(f"{venue} fetch_tickers", exchange.fetch_tickers([symbol])[symbol]["last"], price)
    rows = exchange.fetch_ohlcv(symbol, "1m", limit=5)
    closes = truth(venue, market)["minutes"]
    done = [row for row in rows if exchange.iso8601(row[0]).replace(".000Z", "Z") in closes]
    if not done:
        raise SystemExit(f"{venue}: no whole minute among {rows}")
    for row in done:
        minute = exchange.iso8601(row[0]).replace(".000Z", "Z")
        check(f"{venue} fetch_ohlcv {minute}", row[4], closes[minute])


async def stream(venue, symbol, market, price):
    exchange = client(ccxt.pro, venue)
    try:
        hold(venue, market, price)
        ticker = await asyncio.wait_for(exchange.watch_ticker(symbol), WAIT)
        check(f"{venue} watch_ticker", ticker["last"], price)
    finally:
        await exchange.close()


CASES = [
    ("upbit", "BTC/KRW", "BTC-KRW", ("142187000", "142188000")),
    ("bithumb", "BTC/KRW", "BTC-KRW", ("142187000", "142188000")),
    ("binance", "BTC/USDT", "BTC-USDT", ("96397.12", "96397.13")),
]

for venue, symbol, market, (at_rest, streamed) in CASES:
    rest(venue, symbol, market, at_rest)
    asyncio.run(stream(venue, symbol, market, streamed))
print("all well")
