//! The witnesses: programs and libraries in Python that others wrote, with nothing changed but the URLs.

use std::process::{Output, Stdio};
use std::time::Duration;

use sisepan::fake::{Options, start};
use tokio::process::Command;
use tokio::sync::OnceCell;

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

/// Returns the Python that has the tests' packages; makes it, once for all tests.
pub async fn python() -> &'static str {
    static MADE: OnceCell<()> = OnceCell::const_new();
    let make = async || {
        let made = run("scripts/python-env", &[]).await;
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "this test needs Python 3 with venv, and packages from PyPI: {said}");
    };
    MADE.get_or_init(make).await;
    concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python")
}

/// Runs a script of `tests/clients` against a fake; it says `all well` at its end.
async fn witness(script: &str, options: Options) {
    let python = python().await;
    let fake = start(options).await.unwrap();
    let (base, control) = (format!("http://{}", fake.addr()), format!("http://{}", fake.control_addr()));
    let ran = run(python, &[format!("tests/clients/{script}"), base, control]).await;
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && out.ends_with("all well\n"), "{out}{err}");
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_library_by_others_works_against_it() {
    witness("ccxt_against_fake.py", Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_library_by_others_works_against_it() {
    let options = Options { lifetime: Duration::from_secs(6), ..Options::default() };
    witness("websockets_against_fake.py", options).await;
}
