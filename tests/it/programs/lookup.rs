//! DNS lookups that hang.

use super::{DEADLINE, POLL_INTERVAL, Program, folder};
use crate::preload;
use tokio::process::Command;

#[tokio::test]
#[ignore = "slow"]
async fn in_15_a_hanging_dns_lookup_times_out_and_does_not_delay_shutdown() {
    let folder = folder("lookup");
    let library = folder.join("slow_names.so");
    preload::compile("programs/slow_names.c", &library);

    let config = folder.join("sisepan.toml");
    let venue = |id: &str| format!("[venues.{id}]\nrest = \"http://slow.test\"\nstream = \"ws://slow.test/ws\"\n");
    std::fs::write(&config, format!("data = \"none\"\n{}{}", venue("upbit"), venue("bithumb"))).unwrap();
    let log = folder.join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sisepan"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&config).env("LD_PRELOAD", &library);
    let mut board = Program::run(command, std::fs::File::create(&log).unwrap().into()).await;

    let read = |log: &std::path::Path| std::fs::read_to_string(log).unwrap();
    let logged = tokio::time::timeout(DEADLINE, async {
        while !read(&log).contains("name look-up with slow.test took longer than 5s") {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    });
    assert!(logged.await.is_ok(), "{}", read(&log));
    board
        .wait("the timeout is the reason", "/api/v1/venues", |health| {
            let venues = health["venues"].as_array().unwrap();
            venues.iter().all(|venue| venue["state"] == "down" && venue["reason"]["code"] == "timeout")
        })
        .await;

    // The lookups still hang; their blocked threads must not delay the exit.
    let id = board.child.id().unwrap().to_string();
    assert!(Command::new("kill").arg(id).status().await.unwrap().success());
    let end = tokio::time::timeout(DEADLINE, board.child.wait()).await;
    assert_eq!(end.expect("the program exits").unwrap().code(), Some(0));
    std::fs::remove_dir_all(folder).unwrap();
}
