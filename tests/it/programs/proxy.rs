//! Exchanges behind an outgoing proxy: tinyproxy and microsocks, installed by `scripts/system-env`.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{DEADLINE, POLL_INTERVAL, Program, folder, row, write_config};
use crate::preload;

/// User and password in the URL, partly percent-encoded.
const CREDENTIALS: &str = "us%65r:p%61ss-never-printed";

/// Proxy variables that are removed from the environment of the tests.
const VARIABLES: [&str; 8] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"];

/// A running proxy; it is killed on drop.
struct Proxy {
    _child: Child,
    /// `user:password@host:port`
    authority: String,
    log: std::path::PathBuf,
}

impl Proxy {
    async fn start(folder: &Path, program: &str, make: impl Fn(u16, &Path) -> Command) -> Self {
        for attempt in 0..5 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let log = folder.join(format!("{program}-{attempt}.log"));
            let mut command = make(port, &log);
            let child = command.kill_on_drop(true).stdin(Stdio::null()).spawn();
            let mut child = child.unwrap_or_else(|error| panic!("{program}: {error}; scripts/system-env installs it"));
            let address = format!("127.0.0.1:{port}");
            let started = tokio::time::timeout(DEADLINE, async {
                while TcpStream::connect(&address).await.is_err() {
                    if child.try_wait().unwrap().is_some() {
                        return false;
                    }
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                child.try_wait().unwrap().is_none()
            });
            if started.await.expect("the proxy starts or ends") {
                return Self { _child: child, authority: format!("{CREDENTIALS}@{address}"), log };
            }
        }
        panic!("{program} did not start");
    }

    async fn http(folder: &Path) -> Self {
        Self::start(folder, "tinyproxy", |port, log| {
            let config = log.with_extension("conf");
            let log = log.display();
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 600\nLogFile \"{log}\"\nLogLevel Connect\nMaxClients 100\nBasicAuth user pass-never-printed\n"
            );
            std::fs::write(&config, text).unwrap();
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
            command
        })
        .await
    }

    async fn socks(folder: &Path) -> Self {
        Self::start(folder, "microsocks", |port, log| {
            let mut command = Command::new("microsocks");
            command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "user", "-P", "pass-never-printed"]);
            command.stdout(Stdio::null()).stderr(std::fs::File::create(log).unwrap());
            command
        })
        .await
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

/// Starts fake exchanges over TLS and returns them with the path of a matching configuration.
async fn exchanges(folder: &Path, head: &str) -> (Program, String) {
    let ca = folder.join("ca.pem");
    let ca = ca.to_str().unwrap();
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--tls", "--tls-ca", ca]).await;
    let config = write_config(folder, &fake.url, &format!("{head}[tls]\nca = \"{ca}\"\n"));
    (fake, config.to_str().unwrap().to_owned())
}

fn sisepan(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sisepan"));
    command.args(arguments);
    VARIABLES.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.envs(variables.iter().copied());
    command
}

async fn serve(config: &str, variables: &[(&str, &str)], log: &Path) -> Program {
    let command = sisepan(&["serve", "--listen", "127.0.0.1:0", "--config", config], variables);
    Program::run(command, std::fs::File::create(log).unwrap().into()).await
}

fn all_up(health: &Value) -> bool {
    let venues = health["venues"].as_array().unwrap();
    venues.len() == 2 && venues.iter().all(|venue| venue["state"] == "up")
}

async fn wait_live(board: &Program) {
    board.wait("up", "/api/v1/venues", all_up).await;
    board.wait("live", "/api/v1/snapshot", |snapshot| row(snapshot, "BTC-KRW")["state"] == "live").await;
}

#[tokio::test]
#[ignore = "needs tinyproxy"]
async fn fc_05_rest_and_stream_go_through_an_http_proxy_by_variable_and_by_setting() {
    let folder = folder("proxy-http");
    let proxy = Proxy::http(&folder).await;
    let url = format!("http://{}", proxy.authority);
    let (fake, config) = exchanges(&folder, "").await;
    let log = folder.join("log");
    let connects = |proxy: &Proxy| proxy.log().matches("CONNECT 127.0.0.1:").count();

    for variables in [[("HTTPS_PROXY", url.as_str())], [("all_proxy", url.as_str())], [("SISEPAN_PROXY", url.as_str())]]
    {
        let before = connects(&proxy);
        let board = serve(&config, &variables, &log).await;
        wait_live(&board).await;
        board.kill().await;
        // One stream and at least one request for each of the two exchanges.
        assert!(connects(&proxy) >= before + 4, "{variables:?}: {}", proxy.log());
        let log_text = std::fs::read_to_string(&log).unwrap();
        assert!(!log_text.contains("never-printed"), "{log_text}");
    }

    // `check --live` uses the proxy too.
    let before = connects(&proxy);
    let check = sisepan(&["check", "--live", "--config", &config], &[("HTTPS_PROXY", &url)]).output();
    let check = tokio::time::timeout(DEADLINE, check).await.unwrap().unwrap();
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(connects(&proxy) >= before + 4, "{}", proxy.log());

    // Hosts in NO_PROXY bypass the proxy.
    let before = connects(&proxy);
    let board = serve(&config, &[("HTTPS_PROXY", &url), ("NO_PROXY", "localhost,127.0.0.0/8")], &log).await;
    wait_live(&board).await;
    board.kill().await;
    assert_eq!(connects(&proxy), before);

    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
#[ignore = "needs tinyproxy"]
async fn fc_05_unencrypted_exchanges_go_through_a_proxy_as_well() {
    let folder = folder("proxy-plain");
    let proxy = Proxy::http(&folder).await;
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let config = write_config(&folder, &fake.url, "");
    let url = format!("http://{}", proxy.authority);
    let board = serve(config.to_str().unwrap(), &[("http_proxy", &url)], &folder.join("log")).await;
    wait_live(&board).await;
    board.kill().await;
    let proxy_log = proxy.log();
    assert!(proxy_log.contains("GET http://127.0.0.1:") && proxy_log.contains("CONNECT 127.0.0.1:"), "{proxy_log}");
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
#[ignore = "needs tinyproxy"]
async fn fc_05_a_proxy_that_rejects_us_is_reported_and_never_bypassed() {
    let folder = folder("proxy-refused");
    let proxy = Proxy::http(&folder).await;
    let authority = proxy.authority.replace("p%61ss", "wrong");
    let (fake, config) = exchanges(&folder, &format!("proxy = \"http://{authority}\"\n")).await;
    let log = folder.join("log");
    let board = serve(&config, &[("NO_PROXY", "example.com")], &log).await;
    let health = board
        .wait("the proxy failure is the reason", "/api/v1/venues", |health| {
            let venues = health["venues"].as_array().unwrap();
            venues.iter().all(|venue| venue["state"] == "down" && venue["reason"]["code"] == "connect")
        })
        .await;
    let address = proxy.authority.split_once('@').unwrap().1;
    for venue in health["venues"].as_array().unwrap() {
        let message = venue["reason"]["message"].as_str().unwrap();
        assert!(message.contains(address) && message.contains("proxy"), "{message}");
        assert_eq!(venue["data_at"], Value::Null, "{venue}");
    }
    board.kill().await;
    let log_text = std::fs::read_to_string(&log).unwrap();
    assert!(log_text.contains(address) && !log_text.contains("never-printed"), "{log_text}");
    assert!(!health.to_string().contains("never-printed"), "{health}");
    let check = sisepan(&["check", "--live", "--config", &config], &[]).output();
    let check = tokio::time::timeout(DEADLINE, check).await.unwrap().unwrap();
    let output = format!("{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    assert_eq!(check.status.code(), Some(1), "{output}");
    assert!(output.contains(address) && !output.contains("never-printed"), "{output}");
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
#[ignore = "needs microsocks"]
async fn fc_05_rest_and_stream_go_through_a_socks_proxy() {
    let folder = folder("proxy-socks");
    let proxy = Proxy::socks(&folder).await;
    let (fake, config) = exchanges(&folder, "").await;
    for scheme in ["socks5", "socks5h"] {
        let url = format!("{scheme}://{}", proxy.authority);
        let before = proxy.log().lines().count();
        let board = serve(&config, &[("ALL_PROXY", &url)], &folder.join("log")).await;
        wait_live(&board).await;
        board.kill().await;
        assert!(proxy.log().lines().count() >= before + 4, "{scheme}: {}", proxy.log());
    }
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_05_a_host_whose_ipv6_address_refuses_is_reached_over_ipv4() {
    let folder = folder("both-families");
    let library = folder.join("both_families.so");
    preload::compile("programs/both_families.c", &library);
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let url = fake.url.replace("127.0.0.1", "both-families.test");
    let config = write_config(&folder, &url, "");
    let library = library.to_str().unwrap();
    let board = serve(config.to_str().unwrap(), &[("LD_PRELOAD", library)], &folder.join("log")).await;
    wait_live(&board).await;
    board.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}
