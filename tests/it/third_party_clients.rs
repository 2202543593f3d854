//! Third-party clients: programs that use unmodified Python libraries, with only the URLs changed.

use std::process::{Output, Stdio};
use std::time::Duration;

use fake_exchanges::{Options, start};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Long enough for creating the environment, which may download packages.
const LIMIT: Duration = Duration::from_secs(300);

async fn run(program: &str, arguments: &[String]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await;
    output
        .unwrap_or_else(|_| panic!("{program} took over {LIMIT:?}"))
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Returns the path of a Python that has the tests' packages; creates its environment once for all tests.
pub async fn python() -> &'static str {
    static CREATED: OnceCell<()> = OnceCell::const_new();
    let create = async || {
        let output = run("scripts/python-env", &[]).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this test needs Python 3 with venv, and packages from PyPI: {error}");
    };
    CREATED.get_or_init(create).await;
    concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python")
}

/// Runs a script of `tests/clients` against fake exchanges; it prints `all well` at the end.
async fn run_client(script: &str, options: Options) {
    let python = python().await;
    let fake = start(options).await.unwrap();
    let (base, control) = (format!("http://{}", fake.addr()), format!("http://{}", fake.control_addr()));
    let output = run(python, &[format!("tests/clients/{script}"), base, control]).await;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.ends_with("all well\n"), "{out}{err}");
    fake.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn ccxt_works_against_the_fake_exchanges() {
    run_client("ccxt_against_fake.py", Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python"]
async fn the_python_websockets_library_works_against_the_fake_exchanges() {
    let options = Options { stream_lifetime: Duration::from_secs(6), ..Options::default() };
    run_client("websockets_against_fake.py", options).await;
}
