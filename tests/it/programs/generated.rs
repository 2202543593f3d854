//! Requests that a program by others (schemathesis) generates from `/openapi.json`, good and bad, against the real
//! program: each answer must be what the document says of its request, and none may lack the security headers.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::super::fake::clients;
use super::{Program, folder};

/// The same requests each time. Any other seed must pass as well.
const SEED: &str = "36";

/// Requests drawn at random for one path, beside those that cover each limit of each parameter: this bounds the run.
const DRAWN: &str = "10";

/// How long one answer may take on a busy machine, in seconds.
const ANSWER_SECS: &str = "60";

/// A run takes half a minute; nobody waits for one that hangs.
const LIMIT: Duration = Duration::from_secs(900);

/// Starts the program with invented prices, generates requests to it, and returns how many these were.
async fn run(name: &str, settings: &str, base: &str, phases: &str) -> u32 {
    let python = clients::python().await;
    let folder = folder(name);
    let config = folder.join("sisepan.toml");
    std::fs::write(&config, settings).unwrap();
    let board = Program::start(&["demo", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()]).await;
    board.wait("live", &format!("{base}/readyz?require=live"), |readiness| readiness["ready"] == true).await;
    let (root, url) = (Path::new(env!("CARGO_MANIFEST_DIR")), format!("{}{base}", board.url));
    let mut command = Command::new(python);
    command
        .args(["-B", "-m", "schemathesis.cli"])
        .arg("--config-file")
        .arg(root.join("tests/clients/schemathesis.toml"))
        .args(["run", &format!("{url}/openapi.json"), "--url", &url])
        .args(["--seed", SEED, "--max-examples", DRAWN, "--phases", phases, "--checks", "all"])
        .args(["--request-timeout", ANSWER_SECS, "--suppress-health-check", "all"])
        .args(["--generation-database", "none", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", root.join("tests/clients/schemathesis_checks.py"))
        // It keeps notes of its failures where it is started.
        .current_dir(&folder)
        .kill_on_drop(true);
    let ran = tokio::time::timeout(LIMIT, command.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{out}{err}");
    let count = out.split(" generated, ").next().and_then(|before| before.rsplit(' ').next()?.parse().ok());
    board.end().await;
    std::fs::remove_dir_all(folder).unwrap();
    count.unwrap_or_else(|| panic!("no request was counted: {out}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_36_generated_requests_find_no_contradiction_in_the_document() {
    let count = run("generated", "", "", "examples,coverage,fuzzing,stateful").await;
    assert!(count > 2500, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fc_36_generated_requests_find_none_under_a_base_path_with_several_boards_either() {
    let settings = r#"
        base_path = "/prices"
        public_url = "https://news.example/prices"
        limits.markets = 40

        [[boards]]
        id = "krw"
        markets = ["BTC-KRW", "ETH-KRW", "XRP-KRW"]
        source = ["bithumb", "upbit"]

        [[boards]]
        id = "usdt"
        markets = ["BTC-USDT", "ETH-USDT"]
        source = "binance"
    "#;
    let count = run("generated-below", settings, "/prices", "examples,fuzzing").await;
    assert!(count > 250, "{count}");
}
