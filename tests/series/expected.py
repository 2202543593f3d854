#!/usr/bin/env python3
"""Computes the changes listed in tests/it/series.rs: 24 hours, exact fractions, no code of the program.

    tests/series/expected.py [tests/fixtures/series/minute-candles-2017-11.json]

Prints a line for each of 50 minutes: its number, counted from the first
candle's; the last price in it; the base price; the change in percent, rounded
to two places, half away from zero.

A minute's last price is the close of the newest candle that began in it or
before. Its base is the close of the newest candle that had ended 24 hours
before the minute began: a minute without a candle had no trade.
"""

import json
import sys
from fractions import Fraction

DAY = 24 * 60
MINUTES = range(DAY + 1, DAY + 51)


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/series/minute-candles-2017-11.json"
    with open(path, encoding="utf-8") as file:
        # As text: a float would round.
        rows = json.load(file, parse_float=str, parse_int=str)
    first = int(rows[0][0])
    closes = [((int(row[0]) - first) // 60_000, row[4]) for row in rows]

    def newest(before: int) -> str:
        return [close for minute, close in closes if minute < before][-1]

    for minute in MINUTES:
        last, base = newest(minute + 1), newest(minute - DAY)
        exact = (Fraction(last) - Fraction(base)) * 10_000 / Fraction(base)
        size = int(abs(exact) + Fraction(1, 2))
        sign = "-" if exact < 0 and size else ""
        print(f'({minute}, "{last}", "{base}", "{sign}{size // 100}.{size % 100:02}"),')


main()
