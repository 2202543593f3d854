//! The witness: a client library that others wrote, with nothing changed but the base URLs.

use std::process::{Output, Stdio};
use std::time::Duration;

use sisepan::fake::{Options, start};
use tokio::process::Command;

/// Making the environment may load packages.
const LIMIT: Duration = Duration::from_secs(300);

async fn run(program: &str, arguments: &[String]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    output
        .unwrap_or_else(|_| panic!("{program} took over {LIMIT:?}"))
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_library_by_others_works_against_it() {
    let made = run("scripts/python-env", &[]).await;
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "this test needs Python 3 with venv and ccxt from PyPI: {said}");
    let fake = start(Options::default()).await.unwrap();
    let (base, control) = (format!("http://{}", fake.addr()), format!("http://{}", fake.control_addr()));
    let script = "tests/clients/ccxt_against_fake.py".to_owned();
    let ran = run("target/python/bin/python", &[script, base, control]).await;
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.ends_with("all well\n"), "{out}{err}");
    fake.shutdown().await;
}
