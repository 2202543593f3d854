//! Expected parse results of Binance's recorded payloads.

use super::PayloadKind::{Candles, Frame, Sent, Tickers};
use super::{Expected, expect};

pub const EXPECTED: &[Expected] = &[
    expect(
        "ws-ticker.json",
        Frame,
        "BTCUSDT last=68004.12000000 sent=1772574569035 id=6054521811 high=69506.94000000 low=66158.00000000 \
         base_volume=25691.57255000 quote_volume=1742778450.16795780 base=69442.01000000",
    ),
    expect(
        "ws-ticker-2024.json",
        Frame,
        "BNBUSDT last=553.80000000 sent=1711123991960 id=732024572 high=588.10000000 low=541.70000000 \
         base_volume=1181388.68200000 quote_volume=667153813.14420000 base=557.70000000",
    ),
    expect(
        "ws-ticker-docs.json",
        Frame,
        "BNBBTC last=0.0025 sent=1672515782136 id=18150 high=0.0025 low=0.0010 base_volume=10000 quote_volume=18 \
         base=0.0010",
    ),
    expect(
        "ws-miniticker-combined-btcusdt.json",
        Frame,
        "BTCUSDT last=102492.27000000 sent=1749183266025 high=105909.71000000 low=100372.26000000 \
         base_volume=24032.63625000 quote_volume=2472261593.19821790 base=105121.06000000",
    ),
    expect(
        "ws-miniticker-combined-atomusdt.json",
        Frame,
        "ATOMUSDT last=4.15900000 sent=1749183267518 high=4.36100000 low=4.02900000 base_volume=1895444.43000000 \
         quote_volume=7928978.87419000 base=4.31200000",
    ),
    expect(
        "ws-miniticker-docs.json",
        Frame,
        "BNBBTC last=0.0025 sent=1672515782136 high=0.0025 low=0.0010 base_volume=10000 quote_volume=18 base=0.0010",
    ),
    expect("ws-subscribe.json", Sent("BNB-BTC"), "as we send it"),
    expect("ws-subscribe-ack.json", Frame, "reply request 1 is done"),
    expect("ws-error.json", Frame, "refused 2: Invalid request: property name must be a string"),
    expect(
        "rest-tickers.json",
        Tickers("ETH-BTC"),
        "ETHBTC last=0.03564100 sent=1551374992637 id=109773015 high=0.03600300 low=0.03410000 \
         base_volume=380396.97600000 quote_volume=13459.43958266 base=0.03586800",
    ),
    expect(
        "rest-tickers-docs.json",
        Tickers("BNB-BTC"),
        "BNBBTC last=4.00000200 sent=1499869899040 id=28460 high=100.00000000 low=0.10000000 \
         base_volume=8913.30000000 quote_volume=15.30000000 base=99.00000000",
    ),
    expect(
        "rest-price.json",
        Tickers("BTC-USDT GRAM-USDT"),
        "BTCUSDT last=84065.04000000
         GRAMUSDT last=1.40700000",
    ),
    expect(
        "rest-candles-1m.json",
        Candles("BTC-USDT", 1_790_414_400),
        "2026-09-26T09:19:00Z 83988.00000000 83990.01000000 83988.00000000 83990.01000000 0.22622000 18999.79325250",
    ),
    // A weekly candle is not a minute candle.
    expect(
        "rest-candles-docs.json",
        Candles("BNB-BTC", 1_499_644_800),
        "error unreadable answer: candle 0: closeTime: candle",
    ),
];
