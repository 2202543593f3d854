//! Every decimal that a price can be, through every output that shows one.

use crate::test_hub::TestApp;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt;
use proptest::prelude::*;
use rust_decimal::Decimal;
use sisepan::feed::BoardUpdate;
use sisepan::hub::RowsView;
use sisepan::locale::Lang;
use sisepan::market::change::PLACES_MAX;
use sisepan::market::{Base, BaseSource, Basis, Price, Quote};
use sisepan::web::router;
use tower::ServiceExt;

use super::{AppFixture, NOW, WIDGETS, board, get, now, quote};
use crate::history::{MinuteCloses, memory_history, minute};

const MARKETS: [&str; 2] = ["BTC-KRW", "XRP-KRW"];

/// Longest wait for a published message.
const DEADLINE: Duration = Duration::from_secs(40);

/// Positive decimals of every width and scale, with extra weight on the extremes.
fn decimal() -> impl Strategy<Value = Decimal> {
    let mantissa = prop_oneof![
        1i128..1000,
        Just(1i128),
        Just((1 << 96) - 1),
        (0u32..=28).prop_map(|power| 10i128.pow(power)),
        any::<u64>().prop_map(|n| i128::from(n) + 1),
        1i128..1 << 96,
    ];
    let scale = prop_oneof![Just(0), Just(28), 0u32..=28];
    (mantissa, scale).prop_map(|(mantissa, scale)| Decimal::from_i128_with_scale(mantissa, scale))
}

fn digits() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..=12, 0u32..=28, any::<u32>()]
}

#[derive(Debug, Clone)]
struct Figures {
    last: Decimal,
    base: Decimal,
    range: (Decimal, Decimal),
    volumes: (Decimal, Decimal),
    digits: u32,
    percent_places: u32,
}

fn figures() -> impl Strategy<Value = Figures> {
    let pair = || (decimal(), decimal());
    (decimal(), decimal(), pair(), pair(), digits(), 0..=PLACES_MAX).prop_map(
        |(last, base, range, volumes, digits, percent_places)| Figures {
            last,
            base,
            range,
            volumes,
            digits,
            percent_places,
        },
    )
}

fn row(market: &str, figures: &Figures) -> Quote {
    let base = Base {
        price: Price::new(figures.base).unwrap(),
        at: "2026-01-14T06:27:00Z".parse().unwrap(),
        source: BaseSource::Window,
    };
    Quote {
        last: Price::new(figures.last),
        bases: [Some(base); 3],
        high_24h: Price::new(figures.range.0),
        low_24h: Price::new(figures.range.1),
        range_source: Some(BaseSource::Venue),
        base_volume_24h: Some(figures.volumes.0),
        quote_volume_24h: Some(figures.volumes.1),
        digits: figures.digits,
        no_base_reasons: Default::default(),
        percent_places: figures.percent_places,
        ..quote(market, "1", None)
    }
}

fn app(rows: &[Figures; 2], closes: &[Decimal]) -> TestApp {
    let end = minute(NOW);
    let first = end - 1500;
    // Traded minutes, quiet minutes and gaps.
    let minute_closes: MinuteCloses = (first..end)
        .filter(|minute| minute % 50 != 0)
        .map(|minute| {
            let at = usize::try_from(minute - first).unwrap();
            (minute, (at % 3 > 0 || at % 50 == 1).then(|| Price::new(closes[at % closes.len()])).flatten())
        })
        .collect();
    let quotes = MARKETS.iter().zip(rows).map(|(market, figures)| row(market, figures)).collect();
    let boards = vec![board("krw", &MARKETS, "bithumb")];
    AppFixture {
        quotes,
        boards,
        history: Some(memory_history("bithumb", "BTC-KRW", &minute_closes)),
        ..AppFixture::default()
    }
    .app()
}

/// Every URL that shows a price, with the options that add columns and plots.
fn paths(lang: Lang) -> Vec<String> {
    let mut paths = vec![
        format!("/?lang={lang}"),
        format!("/?lang={lang}&q=btc"),
        format!("/widgets?lang={lang}"),
        format!("/market/BTC-KRW?lang={lang}"),
        format!("/market/XRP-KRW?lang={lang}&basis=kst-day"),
        format!("/badge/BTC-KRW.svg?lang={lang}"),
        format!("/badge/XRP-KRW.svg?lang={lang}&basis=utc-day"),
        format!("/badge/BTC-KRW.json?lang={lang}"),
        format!("/oembed?url=https%3A%2F%2Fnews.example%2Fprices%2Fmarket%2FBTC-KRW&lang={lang}"),
        format!("/api/v1/snapshot?board=krw&lang={lang}"),
    ];
    for widget in WIDGETS {
        let markets = if widget == "chart" { "BTC-KRW" } else { "BTC-KRW,XRP-KRW" };
        paths.push(format!("/embed/{widget}?lang={lang}&markets={markets}"));
        paths.push(format!("/fragment/{widget}?lang={lang}&markets={markets}"));
    }
    for columns in ["last,change,amount", "last,high,low,volume"] {
        paths.push(format!("/fragment/board?lang={lang}&columns={columns}"));
    }
    paths
}

/// URLs that do not depend on a language.
const API: [&str; 7] = [
    "/badge/BTC-KRW.png?lang=en",
    "/api/v1/snapshot.csv?board=krw",
    "/api/v1/snapshot.csv?board=krw&basis=utc-day",
    "/api/v1/history/BTC-KRW",
    "/api/v1/history/BTC-KRW?format=csv",
    "/api/v1/history/BTC-KRW?step=15m",
    "/api/v1/history/BTC-KRW?step=15m&format=csv",
];

/// Requests every URL and follows the streams. A panic of a handler or of a group's task fails the test.
async fn request_everything(rows: [Figures; 2], later: Figures, closes: Vec<Decimal>) {
    let app = app(&rows, &closes);
    for path in Lang::ALL.into_iter().flat_map(paths).chain(API.map(str::to_owned)) {
        let response = get(&app, &path).await;
        assert_eq!(response.status, 200, "{path}: {}", response.body);
    }
    for path in ["/fragment/chart?markets=BTC-KRW", "/fragment/card?markets=BTC-KRW"] {
        let page = get(&app, path).await;
        assert!(page.between(" d=\"", "\"").iter().any(|line| line.contains(['L', 'l'])), "{path}: {}", page.body);
    }
    let events = format!("/api/v1/events?board=krw&lang={}", Lang::En);
    let response = router(app.served()).oneshot(Request::get(events).body(Body::empty()).unwrap()).await.unwrap();
    let first = tokio::time::timeout(DEADLINE, response.into_body().into_data_stream().next()).await.unwrap();
    assert!(first.is_some_and(|chunk| chunk.is_ok()), "the event stream begins");

    for lang in [None, Some(Lang::Ko), Some(Lang::En), Some(Lang::Ja)] {
        let source = quote(MARKETS[0], "1", None).source;
        let rows = MARKETS.map(|market| (source.clone(), market.parse().unwrap())).into();
        let view = RowsView { board: None, rows, basis: Basis::Rolling24h, lang, demo: false, missing: [].into() };
        let (mut member, snapshot) = app.hub.subscribe(view, Duration::ZERO, None, None);
        assert!(!snapshot.is_empty());
        for changed in [&later, &Figures { last: Decimal::ONE, ..later.clone() }] {
            let changed = vec![row(MARKETS[0], changed).into()];
            app.hub.publish(BoardUpdate { at: now(), changed, ..BoardUpdate::default() });
        }
        let texts = tokio::time::timeout(DEADLINE, member.next()).await.unwrap();
        assert!(texts.is_some_and(|texts| !texts.is_empty()), "the stream continues");
        app.hub.publish(BoardUpdate {
            at: now(),
            changed: vec![row(MARKETS[0], &with_another_price(&later)).into()],
            ..BoardUpdate::default()
        });
    }
}

/// The same figures with another price, so that the next stream receives an update.
fn with_another_price(figures: &Figures) -> Figures {
    Figures { last: Decimal::TWO, ..figures.clone() }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn fc_02_every_page_widget_and_stream_writes_every_decimal(
        one in figures(),
        two in figures(),
        later in figures(),
        closes in prop::collection::vec(decimal(), 1..40),
    ) {
        block_on(request_everything([one, two], later, closes));
    }
}

/// A price and a tick size that once stopped a board, and the largest and smallest possible prices.
#[test]
fn fc_02_the_known_prices_are_written_everywhere() {
    let decimal = |text: &str| text.parse::<Decimal>().unwrap();
    for last in [
        "1000000000000000000000000",
        "79228162514264337593543950335",
        "0.0000000000000000000000000001",
        "1e15",
        "7.9228162514264337593543950335",
    ] {
        let last = sisepan::market::amount::parse(last).unwrap();
        for digits in [0, 8, 12, 28, u32::MAX] {
            let figures = Figures {
                last,
                base: decimal("95000.12"),
                range: (last, decimal("0.00000001")),
                volumes: (last, last),
                digits,
                percent_places: PLACES_MAX,
            };
            block_on(request_everything([figures.clone(), figures.clone()], figures, vec![last, decimal("95000.12")]));
        }
    }
}
