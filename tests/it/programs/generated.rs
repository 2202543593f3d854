//! Valid and invalid requests that schemathesis generates from `/openapi.json`, sent to the real program. Every
//! response must match the document and carry the security headers.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::{Program, folder};
use crate::third_party_clients;

/// Fixed for reproducible runs. Any other seed must pass as well.
const SEED: &str = "36";

/// Random requests per path, in addition to those that cover the limits of each parameter. It limits the duration.
const RANDOM_REQUESTS: &str = "10";

/// Timeout of one request in seconds; generous for busy machines.
const REQUEST_TIMEOUT_SECS: &str = "60";

/// Timeout of a run, which normally takes half a minute.
const RUN_TIMEOUT: Duration = Duration::from_secs(900);

/// Starts `sisepan demo`, sends generated requests to it, and returns their number.
async fn run(name: &str, settings: &str, base: &str, phases: &str) -> u32 {
    let python = third_party_clients::python().await;
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
        .args(["--seed", SEED, "--max-examples", RANDOM_REQUESTS, "--phases", phases, "--checks", "all"])
        .args(["--request-timeout", REQUEST_TIMEOUT_SECS, "--suppress-health-check", "all"])
        .args(["--generation-database", "none", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", root.join("tests/clients/schemathesis_checks.py"))
        // schemathesis writes its failures to the working directory.
        .current_dir(&folder)
        .kill_on_drop(true);
    let output = tokio::time::timeout(RUN_TIMEOUT, command.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let count = out.split(" generated, ").next().and_then(|before| before.rsplit(' ').next()?.parse().ok());
    board.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
    count.unwrap_or_else(|| panic!("no request count in the output: {out}"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn fc_36_generated_requests_find_no_contradiction_in_the_document() {
    let count = run("generated", "", "", "examples,coverage,fuzzing,stateful").await;
    assert!(count > 2500, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn fc_36_generated_requests_find_none_under_a_base_path_with_several_boards() {
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
