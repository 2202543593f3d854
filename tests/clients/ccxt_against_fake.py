"""Runs ccxt, a third-party client library, against the fake exchanges.

usage: ccxt_against_fake.py HTTP_BASE CONTROL_BASE

Base URLs are changed, requests for lists that are not served are turned off,
and the pace is halved. Prices are compared with the control server's truth;
exits with 1 and the first difference.
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
    if venue == "kucoin":
        options["options"] = {"fetchMarkets": {"types": ["spot"]}}
    made = getattr(library, venue)(options)
    if venue in ("kucoin", "kraken"):
        # Its list of currencies is not served; markets don't need it.
        made.has["fetchCurrencies"] = False
    # ccxt sends exactly at the venue's limit: a delayed request and the next one together would exceed it.
    made.rateLimit *= 2
    made.urls["api"] = redirect(made.urls["api"], venue)
    return made


def minute(exchange, at):
    return exchange.iso8601(at).replace(".000Z", "Z")


def tickers(exchange, venue, symbol, price):
    check(f"{venue} fetch_ticker", exchange.fetch_ticker(symbol)["last"], price)
    check(f"{venue} fetch_tickers", exchange.fetch_tickers([symbol])[symbol]["last"], price)
    # Without a list, Upbit's and Bithumb's are read from paths that the fake does not serve.
    every = exchange.fetch_tickers(exchange.symbols if venue in ("upbit", "bithumb") else None)
    if set(every) != set(exchange.markets):
        fail(f"{venue} fetch_tickers of all: {sorted(set(exchange.markets) ^ set(every))} differ")
    check(f"{venue} fetch_tickers of all", every[symbol]["last"], price)


def candles(exchange, venue, symbol, market, price):
    """Complete candles close at the true close of their minute, the newest one at the held price."""
    closes = truth(venue, market)["minutes"]
    rows = exchange.fetch_ohlcv(symbol, "1m", limit=5)
    check(f"{venue} fetch_ohlcv, the newest", rows[-1][4], price)
    if any(low > min(start, close) or high < max(start, close) for _, start, high, low, close, _ in rows):
        fail(f"{venue}: a close outside of its candle among {rows}")
    known = [(at, close, closes.get(minute(exchange, at))) for at, *_, close, _ in rows[:-1]]
    for at, close, wanted in known:
        if wanted:
            check(f"{venue} fetch_ohlcv {exchange.iso8601(at)}", close, wanted)
    if not any(wanted for *_, wanted in known):
        fail(f"{venue}: no whole candle among {rows}")


def rest(venue, symbol, market, price):
    exchange = client(ccxt, venue)
    markets = exchange.load_markets()
    if symbol not in markets:
        fail(f"{venue}: {symbol} is not among {sorted(markets)}")
    hold(venue, market, price)
    tickers(exchange, venue, symbol, price)
    candles(exchange, venue, symbol, market, price)
    try:
        exchange.fetch_ticker("NOPE/KRW")
        fail(f"{venue}: an unknown market has a ticker")
    except ccxt.BadSymbol:
        print(f"ok {venue} refuses an unknown market")


def binance_alone(price):
    exchange = client(ccxt, "binance")
    exchange.load_markets()
    check("binance fetch_ticker, best ask", exchange.fetch_ticker("BTC/USDT")["ask"], price)
    check("binance fetch_time", abs(exchange.fetch_time() - exchange.milliseconds()) < 10_000, True)
    since = exchange.milliseconds() - 30 * MINUTE
    rows = exchange.fetch_ohlcv("BTC/USDT", "1m", since=since, limit=10)
    check("binance fetch_ohlcv since", rows[0][0], -(-since // MINUTE) * MINUTE)


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
    finally:
        await exchange.close()


WON = (("142187000", "142188000"), ("142189000", "142190000"))
DOLLARS = (("96397.12", "96397.13"), ("96397.14", "96397.15"))

# Venue, symbol, market, prices, and whether ccxt's stream works: it subscribes to KuCoin's without waiting for the
# welcome, and what is sent before that is lost.
CASES = [
    ("upbit", "BTC/KRW", "BTC-KRW", WON, True),
    ("bithumb", "BTC/KRW", "BTC-KRW", WON, True),
    ("binance", "BTC/USDT", "BTC-USDT", DOLLARS, True),
    ("kucoin", "BTC/USDT", "BTC-USDT", DOLLARS, False),
    ("kraken", "BTC/USD", "BTC-USD", DOLLARS, True),
]

for venue, symbol, market, (at_rest, streamed), has_stream in CASES:
    rest(venue, symbol, market, at_rest[0])
    if venue == "binance":
        binance_alone(at_rest[0])
    if has_stream:
        asyncio.run(stream(venue, symbol, market, streamed))
print("all well")
