"""Shared by the clients of this folder: the fake's base URLs, its truth, held prices, and a check."""

import json
import sys
import urllib.request

BASE, CONTROL = sys.argv[1], sys.argv[2]
STREAM = BASE.replace("http", "ws", 1)

# Longest wait for anything that is pushed, in seconds.
WAIT = 30


def truth(venue, market):
    with urllib.request.urlopen(f"{CONTROL}/truth?venue={venue}&market={market}") as answer:
        return json.load(answer)["markets"][0]


def hold(venue, market, price):
    body = {"venue": venue, "market": market, "price": price, "hold": True}
    request = urllib.request.Request(f"{CONTROL}/price", json.dumps(body).encode())
    urllib.request.urlopen(request).close()


def fail(what):
    raise SystemExit(f"FAILED {what}")


def check(what, got, wanted):
    if float(got) != float(wanted):
        fail(f"{what}: {got}, not {wanted}")
    print(f"ok {what}: {got}")
