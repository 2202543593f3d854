//! Backups: made while the program runs, and never in place of a better one.

use std::fs;
use std::process::{Command, Output};

use super::serve::{MARKETS, Server, check_truth, open_store, program, set_up};
use super::setup::{Folder, market};

fn backup(folder: &Folder, to: &str) -> Output {
    let mut command: Command = program();
    command.arg("backup").arg(folder.0.join(to)).arg("--config").arg(folder.0.join("sisepan.toml")).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn in_60_a_backup_is_verified_before_it_replaces_the_older_one() {
    let (folder, fake, data) = set_up().await;
    let none = backup(&folder, "copy.db");
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    let server = Server::start(&folder, &mut program());
    server.until_live().await;
    // One while the program writes, and one after its end. The data is in the file, or in the log beside it.
    let made = backup(&folder, "copy.db");
    assert!(made.status.success(), "{made:?}");
    assert!(server.terminate().success());
    let made = backup(&folder, "copy.db");
    let output = String::from_utf8(made.stdout.clone()).unwrap();
    assert!(made.status.success() && output.contains("hours of 3 markets, all rows verified"), "{made:?}");

    // The backup is an ordinary store, and all its data is true.
    fs::create_dir(folder.0.join("other")).unwrap();
    fs::copy(folder.0.join("copy.db"), folder.0.join("other/sisepan.db")).unwrap();
    let (store, copied) = open_store(&folder.0.join("other").display().to_string());
    store.close();
    let (store, original) = open_store(&data);
    store.close();
    assert_eq!((copied.damaged, &copied.feeds), (0, &original.feeds));
    for name in MARKETS {
        let feed = copied.feeds.iter().find(|feed| feed.market == market(name)).unwrap();
        assert!(!check_truth(&fake, name, &feed.hours).is_empty());
    }

    // If prices were changed in the source, the older backup stays, to the last byte, and no file remains beside it.
    let (file, kept) = (folder.0.join("data/sisepan.db"), fs::read(folder.0.join("copy.db")).unwrap());
    rusqlite::Connection::open(&file).unwrap().execute("UPDATE last_rows SET last = last || '1'", []).unwrap();
    let before = folder.names();
    let refused = backup(&folder, "copy.db");
    let output = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && output.contains("3 rows have wrong checksums"), "{output}");
    assert_eq!(fs::read(folder.0.join("copy.db")).unwrap(), kept);
    assert_eq!(folder.names(), before);

    // The same if the source is not ours.
    fs::write(&file, "not yours").unwrap();
    let refused = backup(&folder, "copy.db");
    assert!(refused.status.code() == Some(1) && fs::read(folder.0.join("copy.db")).unwrap() == kept, "{refused:?}");
    fake.shutdown().await;
}
