"""Runs ccxt, a third-party client library, against the fake exchanges.

usage: ccxt_against_fake.py HTTP_BASE CONTROL_BASE

Only the base URLs are changed. Prices are compared with the control server's
truth; exits with 1 and the first difference.
"""

import asyncio

import ccxt
import ccxt.pro

from fakes import BASE, STREAM, WAIT, check, fail, hold, truth

MINUTE = 60_000


def redirect(urls, venue):
    """Replaces scheme and host of every URL by our base, at any depth."""
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
    # ccxt sends exactly at the venue's limit: a delayed request and the next one together would exceed it.
    made.rateLimit *= 2
    made.urls["api"] = redirect(made.urls["api"], venue)
    return made


def minute(exchange, at):
    return exchange.iso8601(at).replace(".000Z", "Z")


def tickers(exchange, venue, symbol, price):
    check(f"{venue} fetch_ticker", exchange.fetch_ticker(symbol)["last"], price)
    check(f"{venue} fetch_tickers", exchange.fetch_tickers([symbol])[symbol]["last"], price)
    every = exchange.fetch_tickers()
    if set(every) != set(exchange.markets):
        fail(f"{venue} fetch_tickers of all: {sorted(set(exchange.markets) ^ set(every))} differ")
    check(f"{venue} fetch_tickers of all", every[symbol]["last"], price)


def candles(exchange, venue, symbol, market, price, frames):
    """Complete candles close at the true close of their last minute, the newest one at the held price."""
    closes = truth(venue, market)["minutes"]
    for frame, whole in frames.items():
        length = exchange.parse_timeframe(frame) * 1000
        rows = exchange.fetch_ohlcv(symbol, frame, limit=5)
        check(f"{venue} fetch_ohlcv {frame}, the newest", rows[-1][4], price)
        if any(low > min(start, close) or high < max(start, close) for _, start, high, low, close, _ in rows):
            fail(f"{venue} {frame}: a close outside of its candle among {rows}")
        compared = 0
        for at, *_, close, _ in rows[:-1]:
            wanted = closes.get(minute(exchange, at + length - MINUTE))
            if whole and wanted:
                check(f"{venue} fetch_ohlcv {frame} {exchange.iso8601(at)}", close, wanted)
                compared += 1
        if whole and not compared:
            fail(f"{venue} {frame}: no whole candle among {rows}")


def trades(exchange, venue, symbol, price):
    rows = exchange.fetch_trades(symbol, limit=20)
    check(f"{venue} fetch_trades, how many", len(rows), 20)
    check(f"{venue} fetch_trades, the newest", rows[-1]["price"], price)
    times, ids = [row["timestamp"] for row in rows], [int(row["id"]) for row in rows]
    if times != sorted(times) or len(set(ids)) != len(ids):
        fail(f"{venue} fetch_trades: {times}, {ids}")
    if rows[-1]["side"] != "buy" or not all(row["amount"] > 0 for row in rows):
        fail(f"{venue} fetch_trades: {rows}")


def book(what, found, price):
    """The held price was bought, so it is the best ask."""
    check(f"{what}, best ask", found["asks"][0][0], price)
    bids, asks = ([level[0] for level in found[side]] for side in ("bids", "asks"))
    if bids != sorted(bids, reverse=True) or asks != sorted(asks) or bids[0] >= asks[0] or len(bids) < 5:
        fail(f"{what}: {found}")


def rest(venue, symbol, market, price, frames):
    exchange = client(ccxt, venue)
    markets = exchange.load_markets()
    if symbol not in markets:
        fail(f"{venue}: {symbol} is not among {sorted(markets)}")
    hold(venue, market, price)
    tickers(exchange, venue, symbol, price)
    candles(exchange, venue, symbol, market, price, frames)
    trades(exchange, venue, symbol, price)
    book(f"{venue} fetch_order_book", exchange.fetch_order_book(symbol), price)
    try:
        exchange.fetch_ticker("NOPE/KRW")
        fail(f"{venue}: an unknown market has a ticker")
    except ccxt.BadSymbol:
        print(f"ok {venue} refuses an unknown market")


def binance_alone(price):
    exchange = client(ccxt, "binance")
    exchange.load_markets()
    check("binance fetch_bids_asks", exchange.fetch_bids_asks(["BTC/USDT"])["BTC/USDT"]["ask"], price)
    check("binance fetch_last_prices", exchange.fetch_last_prices(["BTC/USDT"])["BTC/USDT"]["price"], price)
    check("binance fetch_time", abs(exchange.fetch_time() - exchange.milliseconds()) < 10_000, True)
    since = exchange.milliseconds() - 30 * MINUTE
    rows = exchange.fetch_ohlcv("BTC/USDT", "1m", since=since, limit=10)
    check("binance fetch_ohlcv since", rows[0][0], -(-since // MINUTE) * MINUTE)
    rows = exchange.fetch_trades("BTC/USDT", params={"fetchTradesMethod": "publicGetTrades"}, limit=5)
    check("binance fetch_trades, unaggregated", rows[-1]["price"], price)


async def until(what, market, wait, is_it, prices):
    """Trades at the prices in turn until `wait` returns a value that `is_it` accepts."""
    venue, name = market
    awaited = asyncio.ensure_future(wait())
    for count in range(WAIT * 4):
        done, _ = await asyncio.wait([awaited], timeout=0.25)
        if done:
            found = awaited.result()
            if is_it(found):
                print(f"ok {what}")
                return found
            awaited = asyncio.ensure_future(wait())
        if not done or count % 4 == 0:
            hold(venue, name, prices[count % 2])
    awaited.cancel()
    fail(f"{what}: no matching value was received")


async def stream(venue, symbol, market, prices):
    exchange = client(ccxt.pro, venue)
    held = [float(price) for price in prices]
    at = (venue, market)
    try:
        await exchange.load_markets()
        await until(f"{venue} watch_ticker", at, lambda: exchange.watch_ticker(symbol), lambda it: it["last"] in held, prices)
        watch = lambda: exchange.watch_tickers([symbol])
        await until(f"{venue} watch_tickers", at, watch, lambda it: it[symbol]["last"] in held, prices)
        watch = lambda: exchange.watch_trades(symbol)
        await until(f"{venue} watch_trades", at, watch, lambda it: it[-1]["price"] in held and it[-1]["side"] == "buy", prices)
        watch = lambda: exchange.watch_order_book(symbol)
        found = await until(f"{venue} watch_order_book", at, watch, lambda it: it["asks"][0][0] in held, prices)
        book(f"{venue} watch_order_book", found, found["asks"][0][0])
        if exchange.has["watchOHLCV"]:
            frame = "1s" if venue == "upbit" else "1m"
            watch = lambda: exchange.watch_ohlcv(symbol, frame)
            # Upbit's is one candle, Binance's is a list of them.
            close = lambda it: (it if venue == "upbit" else it[-1])[4]
            await until(f"{venue} watch_ohlcv {frame}", at, watch, lambda it: close(it) in held, prices)
        if venue == "binance":
            watch = lambda: exchange.watch_bids_asks([symbol])
            await until("binance watch_bids_asks", at, watch, lambda it: it[symbol]["ask"] in held, prices)
    finally:
        await exchange.close()


# Timeframes, and whether one of the newest five complete candles lies within the fake's truth.
LONG = {"1w": False, "1M": False}
UPBIT_FAMILY = {"1m": True, "3m": True, "5m": True, "10m": True, "15m": True, "30m": True, "1h": True, "4h": True, "1d": True}
UPBIT = {"1s": False, "1y": False} | UPBIT_FAMILY | LONG
BINANCE = {
    "1s": False, "1m": True, "3m": True, "5m": True, "15m": True, "30m": True, "1h": True, "2h": True, "4h": True,
    "6h": True, "8h": True, "12h": True, "1d": True, "3d": False,
} | LONG
WON = (("142187000", "142188000"), ("142189000", "142190000"))

CASES = [
    ("upbit", "BTC/KRW", "BTC-KRW", WON, UPBIT),
    ("bithumb", "BTC/KRW", "BTC-KRW", WON, UPBIT_FAMILY | LONG),
    ("binance", "BTC/USDT", "BTC-USDT", (("96397.12", "96397.13"), ("96397.14", "96397.15")), BINANCE),
]

for venue, symbol, market, (at_rest, streamed), frames in CASES:
    rest(venue, symbol, market, at_rest[0], frames)
    if venue == "binance":
        binance_alone(at_rest[0])
    asyncio.run(stream(venue, symbol, market, streamed))
print("all well")
