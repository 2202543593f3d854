//! Expected parse results of Bithumb's recorded payloads.

use super::PayloadKind::{Candles, Frame, Markets, Sent, Tickers};
use super::{Expected, expect};

pub const EXPECTED: &[Expected] = &[
    // Sent as 1788096372643, nine hours ahead.
    expect(
        "rest-tickers.json",
        Tickers("BTC-KRW"),
        "KRW-BTC last=108553000 traded=1788063972643 base_volume=360.34694815 quote_volume=38992089863.02542",
    ),
    // Its trade time in milliseconds is an hour away from its date and time as text, so neither is used.
    expect(
        "rest-tickers-ccxt-wrapped.json",
        Tickers("BTC-KRW"),
        "KRW-BTC last=45831000 base_volume=8464.71765997 quote_volume=366228795843.045",
    ),
    expect(
        "rest-candles-1m.json",
        Candles("BTC-KRW", 1_756_135_500),
        "2025-08-25T15:23:00Z 157241000 157242000 157219000 157220000 0.37383875 58776458.55759
         2025-08-25T15:24:00Z 157220000 157241000 157203000 157241000 0.34291792 53912913.55096",
    ),
    // A daily candle, which begins at 15:00 UTC (midnight in Seoul), is not a minute candle.
    expect(
        "rest-candles-1d-excerpt.json",
        Candles("BTC-KRW", 1_756_135_620),
        "error unreadable answer: candle 0: unit: candle",
    ),
    expect(
        "rest-markets-2025-08-26-excerpt.json",
        Markets,
        "KRW-BTC BTC-KRW ko=비트코인 en=Bitcoin
         KRW-ETH ETH-KRW ko=이더리움 en=Ethereum
         KRW-XRP XRP-KRW ko=엑스알피 [리플] en=XRP
         KRW-BCH BCH-KRW ko=비트코인 캐시 en=Bitcoin Cash
         KRW-TRX TRX-KRW ko=트론 en=TRON
         KRW-ADA ADA-KRW ko=에이다 en=Cardano
         KRW-LINK LINK-KRW ko=체인링크 en=ChainLink
         KRW-BSV BSV-KRW ko=비트코인에스브이 en=BITCOINSV
         KRW-SAND SAND-KRW ko=샌드박스 en=The Sandbox
         KRW-XLM XLM-KRW ko=스텔라루멘 en=Stellar Lumens
         KRW-SOL SOL-KRW ko=솔라나 en=Solana",
    ),
    expect("rest-markets-ccxt-wrapped.json", Markets, "KRW-BTC BTC-KRW ko=비트코인 en=Bitcoin"),
    expect("rest-error-http200.json", Tickers("BTC-KRW"), "error the exchange answered 404: Code not found"),
    expect(
        "rest-public-ticker-ALL_KRW.json",
        Tickers("BTC-KRW ETH-KRW"),
        "KRW-BTC last=80694000 base_volume=1368.50018382 quote_volume=109321569568.37338 base=81045000
         KRW-ETH last=3406000 base_volume=20934.260856651159084139 quote_volume=71739637997.401415087171755 base=3581000",
    ),
    expect(
        "rest-public-ticker-BTC_KRW.json",
        Tickers("BTC-KRW"),
        "KRW-BTC last=80630000 sent=1723104735027 base_volume=1368.01423432 quote_volume=109282011238.50126 base=81065000",
    ),
    // Sent as open, close, high, low; listed here as open, high, low, close.
    expect(
        "rest-public-candlestick-1m.json",
        Candles("BTC-KRW", 1_723_014_840),
        "2024-08-07T07:13:00Z 81061000 81062000 80860000 80860000 2.1630537 -",
    ),
    expect("rest-public-error.json", Tickers("BTC-KRW"), "error the exchange answered 5500: 상장 코인 아님"),
    expect(
        "ws-ticker.json",
        Frame,
        "KRW-BTC last=95299000 traded=1783655148303 sent=1783655148485 base_volume=310.44065227 \
         quote_volume=29226371799.56915 halted=false",
    ),
    expect(
        "ws-ticker-docs-snapshot.json",
        Frame,
        "KRW-BTC last=493100 traded=1725927377174 sent=1725927377287 base_volume=13380.57687512 \
         quote_volume=8227950466.316009 halted=false",
    ),
    expect(
        "ws-ticker-2026-09-trimmed.json",
        Frame,
        "KRW-BTC last=116208000 traded=1790133513858 sent=1790133514044 halted=false",
    ),
    expect("ws-trade-2026-09-trimmed.json", Frame, "unknown trade"),
    expect("ws-subscribe.json", Sent("BTC-KRW"), "as we send it"),
    expect("ws-status-up.json", Frame, "reply UP"),
    expect("ws-error.json", Frame, "refused NO_TICKET: 티켓이 존재하지 않거나, 유효하지 않습니다."),
    expect("ws-error-invalid-param.json", Frame, "refused INVALID_PARAM: nope 은 지원하지 않는 타입입니다."),
    // A request to the legacy socket: we never send it, and it has no figures.
    expect("ws-legacy-subscribe.json", Frame, "rejected code: missing"),
    expect("ws-legacy-connected.json", Frame, "reply Connected Successfully"),
    expect("ws-legacy-registered.json", Frame, "reply Filter Registered Successfully"),
    expect("ws-legacy-error.json", Frame, "refused 5100: Invalid Filter Syntax"),
    expect(
        "ws-legacy-ticker.json",
        Frame,
        "KRW-BTC last=2317 high=2344 low=2272 base_volume=1222314.51355788 quote_volume=2831915078.07065789 base=2302",
    ),
];
