//! Expected parse results of Upbit's recorded payloads.

use super::PayloadKind::{Candles, Frame, Markets, Sent, Tickers};
use super::{Expected, expect};

pub const EXPECTED: &[Expected] = &[
    expect(
        "rest-tickers.json",
        Tickers("BTC-KRW"),
        "KRW-BTC last=108580000.0 traded=1788063995338 sent=1788064001128 base_volume=429.38712474 \
         quote_volume=46438901365.86302",
    ),
    // Numbers as strings that end in a comma: an error in the documents, in one row only.
    expect(
        "rest-tickers-docs.json",
        Tickers("BTC-KRW ETH-KRW"),
        "KRW-BTC rejected trade_price: malformed
         KRW-ETH last=3510000 traded=1751606040327 sent=1751606040373 base_volume=31689.60167858 \
         quote_volume=111690309851.79362",
    ),
    expect(
        "rest-tickers-2018.json",
        Tickers("BTC-KRW"),
        "KRW-BTC last=7050000 traded=1530510135000 sent=1530510140578 base_volume=2933.58638998 \
         quote_volume=20842813224.847",
    ),
    expect(
        "rest-tickers-ccxt-quoted.json",
        Tickers("BTC-USDT"),
        "USDT-BTC last=73578.65500000 traded=1710328237798 sent=1710328237828 base_volume=7.03935349 \
         quote_volume=506342.98398488",
    ),
    expect(
        "rest-candles-1m.json",
        Candles("BTC-KRW", 1_788_064_020),
        "2026-08-30T04:24:00Z 108527000.0 108527000.0 108520000.0 108524000.0 0.08254391 8958180.16834
         2026-08-30T04:25:00Z 108524000.0 108580000.0 108511000.0 108580000.0 0.18712591 20308269.58216
         2026-08-30T04:26:00Z 108580000.0 108580000.0 108536000.0 108580000.0 0.01280224 1389734.84452",
    ),
    expect(
        "rest-candles-1m-2021-raw.json",
        Candles("SAND-KRW", 1_633_005_480),
        "2021-09-30T12:37:00Z 792.00000000 794.00000000 792.00000000 794.00000000 21926.43628436 17387214.51268126",
    ),
    // An hourly candle is not a minute candle.
    expect(
        "rest-candles-60m-ccxt-quoted.json",
        Candles("BTC-USDT", 1_710_331_200),
        "error unreadable answer: candle 0: unit: candle",
    ),
    expect(
        "rest-markets.json",
        Markets,
        "BTC-BERA BERA-BTC ko=베라체인 en=Berachain
         BTC-FIL FIL-BTC ko=파일코인 en=Filecoin
         BTC-SIGN SIGN-BTC ko=사인 en=Sign",
    ),
    expect(
        "rest-markets-docs.json",
        Markets,
        "KRW-BTC BTC-KRW en=Bitcoin
         KRW-ETH ETH-KRW en=Ethereum",
    ),
    expect("rest-error.json", Tickers("BTC-KRW"), "error the exchange answered 404: Code not found"),
    expect(
        "rest-error-missing-param.json",
        Markets,
        "error the exchange answered 400: Missing request parameter error. Check the required parameters!",
    ),
    expect("ws-subscribe.json", Sent("BTC-KRW ETH-KRW"), "as we send it"),
    expect(
        "ws-ticker-snapshot-2020.json",
        Frame,
        "BTC-ETH last=0.02161249 traded=1584482323000 sent=1584482323378 base_volume=118.38798416 \
         quote_volume=2.5955306323568927 halted=false",
    ),
    expect(
        "ws-ticker-snapshot-docs.json",
        Frame,
        "KRW-ETH last=36929 traded=1693383665811 sent=1693383690031 base_volume=0.22569412 \
         quote_volume=8320.40577449 halted=false",
    ),
    expect("ws-trade-2020.json", Frame, "unknown trade"),
    expect("ws-orderbook-exponent-trimmed.json", Frame, "unknown orderbook"),
    expect("ws-status-up.json", Frame, "reply UP"),
    expect("ws-error.json", Frame, "refused NO_TICKET: 티켓이 존재하지 않거나, 유효하지 않습니다."),
    expect("ws-error-wrong-format.json", Frame, "refused WRONG_FORMAT: Format 이 맞지 않습니다."),
    expect("ws-error-invalid-param.json", Frame, "refused INVALID_PARAM: nope 은 지원하지 않는 타입입니다."),
];
