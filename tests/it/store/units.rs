//! A redenomination that the operator configures, from the file to the page, over restarts.

use fake_exchanges::Fake;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::market::Minute;

use super::serve::{MARKETS, Server, check_truth, configure, now, open_store, program, set_up};
use super::setup::{Folder, market};
use crate::laws::exact;

/// Four new coins for each old one, an hour ago: not a power of ten, so the program can't detect it by itself.
const FACTOR: &str = "0.25";

fn add_entry(folder: &Folder, at: Timestamp) {
    let file = folder.0.join("sisepan.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let entry =
        format!("[[redenominations]]\nvenue = \"upbit\"\nmarket = \"BTC-KRW\"\nat = \"{at}\"\nfactor = \"{FACTOR}\"\n");
    std::fs::write(file, format!("{config}{entry}")).unwrap();
}

/// Asserts that a row's change is the exact one against the true base times `factor`.
fn assert_exact(fake: &Fake, row: &Value, factor: Decimal) {
    let (name, change) = (row["market"].as_str().unwrap(), &row["change"]);
    let at = change["base_at"].as_str().unwrap().parse().unwrap();
    let base = fake.trade_before("upbit", name, at).unwrap().1 * factor;
    assert_eq!(change["base_price"].as_str().unwrap().parse(), Ok(base), "{row}");
    let fraction = |text: &str| exact::parse_fraction(text).unwrap();
    let percent = exact::percent(&fraction(row["last"].as_str().unwrap()), &fraction(&base.to_string()), 2);
    assert_eq!(fraction(change["percent"].as_str().unwrap()) * exact::power_of_ten(2), percent.into(), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow"]
async fn in_53_prices_before_a_redenomination_are_shown_in_the_new_unit_and_stored_in_the_old() {
    let (folder, fake, data) = set_up().await;
    let at = Minute::of(now() - SignedDuration::from_hours(1)).start();
    let (one, factor) = (Decimal::ONE, FACTOR.parse::<Decimal>().unwrap());
    for run in 0..4 {
        // Without the entry, twice with it, and without it again.
        let entered = run == 1 || run == 2;
        configure(&folder, &fake, &data);
        if entered {
            add_entry(&folder, at);
        }
        let server = Server::start(&folder, &mut program());
        server.until_live().await;
        for row in server.rows() {
            let is_other = row["market"] == "BTC-KRW" && entered;
            assert_exact(&fake, &row, if is_other { factor } else { one });
        }
        // The plot has one unit too: the last three hours without the newest minutes, which arrive a little later.
        let known = |answer: &Value| {
            let closes = answer["close"].as_array().unwrap();
            closes.len() > 200 && closes[closes.len() - 200..closes.len() - 20].iter().all(Value::is_string)
        };
        let history = server.until("/api/v1/history/BTC-KRW", known).await;
        let start: Timestamp = history["start"].as_str().unwrap().parse().unwrap();
        let truth = fake.truth("upbit", "BTC-KRW").unwrap().minutes;
        let mut compared = 0;
        for (n, close) in (0i64..).zip(history["close"].as_array().unwrap()).filter(|(_, close)| close.is_string()) {
            let minute = start + SignedDuration::from_mins(n);
            let Some((_, true_close)) = truth.iter().find(|(start, _)| *start == minute) else { continue };
            // A quiet minute has the price of an earlier trade, which may be from before the redenomination.
            let traded_at = fake.trade_before("upbit", "BTC-KRW", minute + SignedDuration::from_mins(1)).unwrap().0;
            let expected = if entered && traded_at < at { factor } else { one } * true_close;
            assert_eq!(close.as_str().unwrap().parse(), Ok(expected), "run {run}: {minute}");
            compared += 1;
        }
        assert!(compared >= 180, "{compared}");
        assert!(server.terminate().success());
        let (store, restored) = open_store(&data);
        store.close();
        for name in MARKETS {
            let feed = restored.feeds.iter().find(|feed| feed.market == market(name)).unwrap();
            check_truth(&fake, name, &feed.hours);
        }
    }
    fake.shutdown().await;
}
