//! The file is readable with the `sqlite3` command.

use std::process::Command;

use sisepan::market::Minute;

use super::setup::{self, FIRST, Folder, UPBIT, all_hours, markets, trade, true_records};

fn sqlite3(folder: &Folder, sql: &str) -> String {
    let environment = Command::new("scripts/system-env").current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(environment.status.success(), "{}", String::from_utf8_lossy(&environment.stderr));
    let ran = Command::new("sqlite3").arg("-readonly").arg(folder.file()).arg(sql).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[test]
#[ignore = "needs sqlite3"]
fn the_view_shows_every_close_to_the_command_line_tool() {
    let folder = Folder::new();
    let end = FIRST.plus(200);
    let market = &markets()[0];
    let store = setup::open(&folder.0, end).0;
    store.save(vec![true_records(market, FIRST..end)]);
    assert!(store.flush(setup::FLUSH_MAX));
    // Also while the store is open.
    let shown = sqlite3(&folder, "SELECT * FROM minute_closes ORDER BY minute");
    let settled = all_hours(&store, UPBIT, market);
    let wanted = (FIRST.0..end.0).map(Minute).filter_map(|minute| {
        let (_, price) = trade(market, minute)?;
        let record = settled.iter().find(|record| record.hour == Minute(minute.0 / 60 * 60)).unwrap();
        let settled = u8::from(record.is_set(record.settled, minute));
        Some(format!("upbit|{market}|{}|{price}|{settled}\n", minute.start()))
    });
    assert_eq!(shown, wanted.collect::<String>());
    store.close();
    assert_eq!(sqlite3(&folder, "PRAGMA integrity_check"), "ok\n");
}

#[test]
#[ignore = "needs sqlite3"]
fn every_query_of_the_documentation_runs() {
    let document = include_str!("../../../docs/store.md");
    let folder = Folder::new();
    let end = FIRST.plus(1500);
    let store = setup::open(&folder.0, end).0;
    store.save(markets().iter().map(|market| true_records(market, FIRST..end)).collect());
    store.close();
    let queries: Vec<&str> = document.split("```sql\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
    assert!(queries.len() >= 4);
    for query in queries {
        assert!(!sqlite3(&folder, query).is_empty(), "{query} shows nothing");
    }
}
