//! An operator's entry of a redenomination, from the file to the page, over restarts.

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::Value;
use sisepan::domain::Minute;
use sisepan::fake::Fake;

use super::serve::{MARKETS, Server, check_truth, configure, look_into, now, program, set_up};
use super::setup::{Folder, market};
use crate::laws::exact;

/// One new coin for four old ones an hour ago: no power of ten, so that nothing of it can be found out by itself.
const FACTOR: &str = "0.25";

fn entry(folder: &Folder, at: Timestamp) {
    let file = folder.0.join("sisepan.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let entry =
        format!("[[redenominations]]\nvenue = \"upbit\"\nmarket = \"BTC-KRW\"\nat = \"{at}\"\nfactor = \"{FACTOR}\"\n");
    std::fs::write(file, format!("{config}{entry}")).unwrap();
}

/// Asserts that a row's change is the exact one against the true base times `factor`.
fn is_exact(fake: &Fake, row: &Value, factor: Decimal) {
    let (name, change) = (row["market"].as_str().unwrap(), &row["change"]);
    let at = change["base_at"].as_str().unwrap().parse().unwrap();
    let base = fake.trade_before("upbit", name, at).unwrap().1 * factor;
    assert_eq!(change["base_price"].as_str().unwrap().parse(), Ok(base), "{row}");
    let fraction = |text: &str| exact::value(text).unwrap();
    let percent = exact::percent(&fraction(row["last"].as_str().unwrap()), &fraction(&base.to_string()), 2);
    assert_eq!(fraction(change["percent"].as_str().unwrap()) * exact::power(2), percent.into(), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_53_the_window_of_before_a_redenomination_is_told_in_the_new_unit_and_kept_in_the_old() {
    let (folder, fake, data) = set_up().await;
    let at = Minute::of(now() - SignedDuration::from_hours(1)).start();
    let (one, factor) = (Decimal::ONE, FACTOR.parse::<Decimal>().unwrap());
    for life in 0..4 {
        // Without it, twice with it, and without it again.
        let entered = life == 1 || life == 2;
        configure(&folder, &fake, &data);
        if entered {
            entry(&folder, at);
        }
        let server = Server::start(&folder, &mut program());
        server.is_live().await;
        for row in server.rows() {
            let is_other = row["market"] == "BTC-KRW" && entered;
            is_exact(&fake, &row, if is_other { factor } else { one });
        }
        // The plot is of one unit too: the minutes of the last three hours but the newest, which are told a little later.
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
            let Some((_, said)) = truth.iter().find(|(of, _)| *of == minute) else { continue };
            // A quiet minute has the price of a trade before it, which may be of before the change.
            let of = fake.trade_before("upbit", "BTC-KRW", minute + SignedDuration::from_mins(1)).unwrap().0;
            let is = if entered && of < at { factor } else { one } * said;
            assert_eq!(close.as_str().unwrap().parse(), Ok(is), "life {life}: {minute}");
            compared += 1;
        }
        assert!(compared >= 180, "{compared}");
        assert!(server.terminate().success());
        let (store, restored) = look_into(&data);
        store.close();
        for name in MARKETS {
            let feed = restored.feeds.iter().find(|feed| feed.market == market(name)).unwrap();
            check_truth(&fake, name, &feed.hours);
        }
    }
    fake.shutdown().await;
}
