//! `sisepan check`, command-line options, and the first log line.

use std::path::Path;
use std::process::{Output, Stdio};

use fake_exchanges::{self as fake, client_log::LogEntry};
use tokio::process::Command;

use super::{DEADLINE, POLL_INTERVAL, Program, folder, write_config};

/// Runs the program and returns its exit code and its combined output.
async fn sisepan(arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_sisepan")).args(arguments).kill_on_drop(true).output();
    let Output { status, stdout, stderr } = tokio::time::timeout(DEADLINE, run).await.unwrap().unwrap();
    (status.code(), format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap()))
}

/// Writes a file and returns its path as text.
fn write_file<'a>(file: &'a Path, text: &str) -> &'a str {
    std::fs::write(file, text).unwrap();
    file.to_str().unwrap()
}

#[tokio::test]
async fn fc_42_check_finds_what_would_stop_serve() {
    let folder = folder("check-obstacles");
    let plain = folder.join("plain");
    std::fs::write(&plain, "a file").unwrap();
    let foreign = folder.join("foreign");
    std::fs::create_dir_all(&foreign).unwrap();
    std::fs::write(foreign.join("sisepan.db"), "no database, whatever its name").unwrap();
    let (plain, foreign) = (plain.display(), foreign.display());
    for (text, expected) in [
        (format!("data = \"{plain}\""), "data: "),
        (format!("data = \"{plain}/below/it\""), "is not a directory"),
        ("data = \"/proc/sisepan\"".to_owned(), "can't be written to"),
        (format!("data = \"{foreign}\""), "not a database"),
        ("data = \"none\"\nlisten = \"192.0.2.1:8080\"".to_owned(), "listen: can't listen on 192.0.2.1:8080"),
        ("data = \"none\"\nlisten = \"no-such-host.invalid:80\"".to_owned(), "listen: can't listen on no-such-host"),
        ("listen = \"192.0.2.1:8080\"\ndata = \"/proc/sisepan\"".to_owned(), "2 errors"),
    ] {
        let config = folder.join("sisepan.toml");
        let (code, output) = sisepan(&["check", "--config", write_file(&config, &text)]).await;
        assert_eq!(code, Some(2), "{text}: {output}");
        assert!(output.contains(expected) && !output.contains("configuration OK"), "{text}: {output}");
    }
    // A valid configuration passes, and the check leaves no files behind.
    let fresh = folder.join("fresh");
    let text = format!("listen = \"127.0.0.1:0\"\ndata = \"{}\"", fresh.display());
    let (code, output) = sisepan(&["check", "--config", write_file(&folder.join("sisepan.toml"), &text)]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(!fresh.exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_42_check_notes_resources_in_use_and_does_not_fail() {
    let folder = folder("check-taken");
    let port_holder = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port_holder.local_addr().unwrap().to_string();
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let lock = std::fs::File::create(data.join("sisepan.lock")).unwrap();
    lock.lock().unwrap();
    let text = format!("listen = \"{address}\"\ndata = \"{}\"", data.display());
    let file = folder.join("sisepan.toml");
    let config = write_file(&file, &text);
    let notes = [
        format!("note: listen: {address} is in use (perhaps by a running sisepan); serve can't start until it is free"),
        format!(
            "note: data: {} is in use (perhaps by a running sisepan); serve can't start until it is free",
            data.display()
        ),
    ];
    let (code, output) = sisepan(&["check", "--config", config]).await;
    assert!(code == Some(0) && output.contains("configuration OK"), "{output}");
    notes.iter().for_each(|note| assert!(output.contains(note), "{note} is not in {output}"));
    // As the notes say, `serve` can't start.
    assert_eq!(sisepan(&["serve", "--config", config]).await.0, Some(1));
    // Flags override the settings; free resources have no note.
    let (code, output) = sisepan(&["check", "--listen", "127.0.0.1:0", "--data", "none", "--config", config]).await;
    assert!(code == Some(0) && !output.contains("note:"), "{output}");
    drop((port_holder, lock));
    let (code, output) = sisepan(&["check", "--config", config]).await;
    assert!(code == Some(0) && !output.contains("note:"), "{output}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_42_mistakes_of_one_file_are_reported_together_with_code_2() {
    let folder = folder("check-mistakes");
    let junk = folder.join("junk.pem");
    std::fs::write(&junk, "junk").unwrap();
    let config = folder.join("sisepan.toml");
    for (ca, problem) in [("/nonexistent/ca.pem", "No such file"), (junk.to_str().unwrap(), "no certificate")] {
        let text = format!(
            "base_path = \"/prices\"\npublic_url = \"https://example.com/other\"\npercent_places = 9\n[tls]\nca = \"{ca}\"\n"
        );
        let config = write_file(&config, &text);
        for command in ["check", "serve"] {
            let (code, output) = sisepan(&[command, "--config", config]).await;
            assert_eq!(code, Some(2), "{command}: {output}");
            for expected in
                [":2: public_url: must end with base_path", ":3: percent_places", ":5: tls.ca: ", problem, "3 errors"]
            {
                assert!(output.contains(expected), "{command}: {expected} is not in {output}");
            }
        }
    }
    // A proxy may add a prefix to the path, or, without `base_path`, strip the whole path.
    for text in [
        "base_path = \"/prices\"\npublic_url = \"https://example.com/site/prices/\"",
        "base_path = \"/prices/\"\npublic_url = \"https://example.com/prices\"",
        "public_url = \"https://example.com/prices\"",
        "base_path = \"/prices\"",
    ] {
        let text = format!("{text}\ndata = \"none\"\nlisten = \"127.0.0.1:0\"");
        let (code, output) = sisepan(&["check", "--config", write_file(&config, &text)]).await;
        assert_eq!(code, Some(0), "{text}: {output}");
    }
    let text = "base_path = \"/prices\"\npublic_url = \"https://example.com/myprices\"";
    assert_eq!(sisepan(&["check", "--config", write_file(&config, text)]).await.0, Some(2));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_42_a_live_check_fails_for_a_market_that_no_source_has() {
    let folder = folder("check-unlisted");
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let board =
        |markets: &str, source: &str| format!("[[boards]]\nid = \"krw\"\nmarkets = [{markets}]\nsource = {source}\n");
    for (markets, source, code, expected) in [
        (r#""BTC-KRW", "NOPE-KRW""#, r#"["bithumb", "upbit"]"#, 1, "board krw: no price for NOPE-KRW"),
        (r#""KRW-BTC", "ETH-KRW""#, r#""bithumb""#, 1, "is not listed; did you mean BTC-KRW?"),
        (r#""BTC-KRW""#, r#"["bithumb", "upbit"]"#, 0, "prices   1 of 1"),
    ] {
        let config = write_config(&folder, &fake.url, "listen = \"127.0.0.1:0\"\n");
        let text = std::fs::read_to_string(&config).unwrap() + &board(markets, source);
        let (ended, output) = sisepan(&["check", "--live", "--config", write_file(&config, &text)]).await;
        assert_eq!(ended, Some(code), "{markets}: {output}");
        assert!(output.contains(expected), "{markets}: {output}");
    }
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_53_a_market_with_base_and_quote_swapped_gets_a_hint() {
    let folder = folder("check-swapped");
    let file = folder.join("sisepan.toml");
    for (market, source, suggestion) in [
        ("KRW-BTC", "bithumb", Some("BTC-KRW")),
        ("KRW-USDT", "upbit", Some("USDT-KRW")),
        ("USDT-BTC", "binance", Some("BTC-USDT")),
        ("BTC-ETH", "upbit", Some("ETH-BTC")),
        ("BTC-KRW", "bithumb", None),
        ("USDT-KRW", "upbit", None),
        ("BTC-USDT", "binance", None),
        ("USDT-TRY", "binance", None),
        ("EUR-USDT", "binance", None),
        ("BTC-EUR", "binance", None),
        ("ETH-BTC", "binance", None),
        ("BTC-USDC", "binance", None),
    ] {
        let text = format!(
            "data = \"none\"\nlisten = \"127.0.0.1:0\"\n[[boards]]\nid = \"a\"\nmarkets = [\"{market}\"]\nsource = \"{source}\"\n"
        );
        let (code, output) = sisepan(&["check", "--config", write_file(&file, &text)]).await;
        assert_eq!(code, Some(0), "{output}");
        match suggestion {
            Some(suggestion) => assert!(
                output.contains(&format!("{market}: ")) && output.contains(&format!("did you mean {suggestion}?")),
                "{output}"
            ),
            None => assert!(!output.contains("did you mean"), "{output}"),
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_08_a_live_check_rejects_what_serve_rejects() {
    let folder = folder("check-refused");
    let script = folder.join("faults.jsonl");
    for (fault, expected) in
        [(r#""fault":"unit","unit":"us""#, "time"), (r#""fault":"status","status":503"#, "failed: binance")]
    {
        let fault = format!(r#"{{"at":0,"seconds":600,{fault}}}"#);
        let script = write_file(&script, &fault);
        let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--script", script]).await;
        let config = write_config(&folder, &fake.url, "listen = \"127.0.0.1:0\"\n");
        let board = "[[boards]]\nid = \"usdt\"\nmarkets = [\"BTC-USDT\", \"ETH-USDT\"]\nsource = \"binance\"\n";
        let text = std::fs::read_to_string(&config).unwrap() + board;
        let (code, output) = sisepan(&["check", "--live", "--config", write_file(&config, &text)]).await;
        assert_eq!(code, Some(1), "{fault}: {output}");
        assert!(output.contains(expected) && output.contains("1 of 1 exchanges failed: binance"), "{fault}: {output}");
        fake.kill().await;
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// Runs `check --live` with three markets of Upbit against the fake exchanges at `url`.
async fn live_check(name: &str, url: &str) -> (Option<i32>, String) {
    let folder = folder(&format!("check-{name}"));
    let config = write_config(&folder, url, "listen = \"127.0.0.1:0\"\n");
    let text = std::fs::read_to_string(&config).unwrap().replace("stale_after_secs = 5\n", "")
        + "[[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\", \"ETH-KRW\", \"XRP-KRW\"]\nsource = \"upbit\"\n";
    let ended = sisepan(&["check", "--live", "--config", write_file(&config, &text)]).await;
    std::fs::remove_dir_all(folder).unwrap();
    ended
}

/// Runs `check --live` against Upbit with faults and the default `stale_after_secs`; returns exit code and output.
async fn live_check_of_upbit(name: &str, faults: &[&str]) -> (Option<i32>, String) {
    let fake = fake::start(fake::Options::default()).await.unwrap();
    faults.iter().for_each(|fault| fake.inject_fault(&format!("{{{fault}}}")).unwrap());
    let ended = live_check(name, &format!("http://{}", fake.addr())).await;
    fake.shutdown().await;
    ended
}

/// At first, REST delivers valid prices; later, all prices are rejected, from the stream and from REST.
#[tokio::test]
#[ignore = "slow"]
async fn fc_08_a_live_check_does_not_pass_while_stream_prices_are_rejected() {
    let checks = ["40000", "-40000", "-20000"].map(|ms| async move {
        let fake = fake::start(fake::Options::default()).await.unwrap();
        fake.inject_fault(&format!(r#"{{"fault":"skew","ms":{ms},"on":"stream"}}"#)).unwrap();
        let url = format!("http://{}", fake.addr());
        let answered = |entry: &LogEntry| entry.text.contains("/v1/ticker") && entry.status == Some(200);
        let spoil = async {
            while !fake.log().iter().any(answered) {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
            fake.inject_fault(r#"{"fault":"unit","unit":"us","on":"rest"}"#).unwrap();
        };
        let name = format!("skew-{ms}");
        let (ended, ()) = tokio::join!(live_check(&name, &url), spoil);
        fake.shutdown().await;
        (ms, ended)
    });
    for (ms, (code, output)) in futures_util::future::join_all(checks).await {
        assert_eq!(code, Some(1), "{ms}: {output}");
        for text in ["prices   0 of 3", "rejected time-", "reason   no price of 3 wanted", "1 of 1 exchanges failed"] {
            assert!(output.contains(text), "{ms}: {text} is not in {output}");
        }
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_08_one_bad_record_fails_no_live_check() {
    let fault = r#""fault":"set-field","field":"trade_price","payload":"\"x\"","symbol":"KRW-ETH","on":"rest","path":"/v1/ticker","times":1"#;
    let (code, output) = live_check_of_upbit("one-record", &[fault]).await;
    assert_eq!(code, Some(0), "{output}");
    for expected in ["prices   3 of 3", "stream   connected", "rejected malformed in trade_price (1x)"] {
        assert!(output.contains(expected), "{expected} is not in {output}");
    }
}

#[tokio::test]
#[ignore = "slow"]
async fn fc_42_a_live_check_states_the_reason_of_a_failure() {
    let checks = [
        ("upgrade", r#""fault":"status","status":502,"on":"stream","seconds":600"#, "stream   failed: ", "502"),
        (
            "list",
            r#""fault":"status","status":503,"path":"/v1/market/all","seconds":600"#,
            "list     not received: ",
            "503",
        ),
    ]
    .map(|(name, fault, line, reason)| async move { (name, line, reason, live_check_of_upbit(name, &[fault]).await) });
    for (name, line, reason, (code, output)) in futures_util::future::join_all(checks).await {
        assert_eq!(code, Some(1), "{name}: {output}");
        let found = output.lines().find(|found| found.trim_start().starts_with(line));
        assert!(found.is_some_and(|found| found.contains(reason)), "{name}: {output}");
        // The check requests no history, so missing base prices are not reported.
        assert!(!output.contains("without a base"), "{name}: {output}");
    }
}

#[tokio::test]
async fn fc_55_a_host_name_or_a_bare_port_can_be_listened_on_and_errors_name_the_flag() {
    for listen in ["localhost:0", ":0", "127.0.0.1:0"] {
        let board = Program::start(&["demo", "--listen", listen]).await;
        let port = board.url.rsplit_once(':').unwrap().1.to_owned();
        let reachable = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await;
        assert!(reachable.is_ok(), "{listen}: {} is not reachable as 127.0.0.1", board.url);
        board.kill().await;
        let fake = Program::start(&["fake", "--listen", listen]).await;
        fake.kill().await;
    }
    let (code, output) = sisepan(&["serve", "--listen", "8080"]).await;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("--listen: listen: must be an address and a port"), "{output}");
    assert!(!output.contains("environment variable"), "{output}");
}

#[tokio::test]
async fn fc_55_help_lists_no_option_without_effect() {
    for (command, unsupported) in
        [("demo", &["--data"][..]), ("check", &["--log"]), ("backup", &["--listen", "--log"]), ("serve", &[])]
    {
        let (_, help) = sisepan(&[command, "--help"]).await;
        for option in ["--config", "--listen", "--log", "--data"] {
            let is_listed = help.lines().any(|line| line.trim_start().starts_with(option));
            assert_eq!(is_listed, !unsupported.contains(&option), "{command} {option}: {help}");
        }
        for option in unsupported {
            assert_eq!(sisepan(&[command, option, "x"]).await.0, Some(2), "{command} {option}");
        }
    }
}

#[tokio::test]
async fn fc_46_the_first_log_line_describes_the_configuration() {
    let folder = folder("start-line");
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let data = folder.join("data");
    let config = write_config(&folder, &fake.url, "");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("data = \"none\"", &format!("data = \"{}\"", data.display()))
        + "[[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\"]\nsource = [\"bithumb\", \"upbit\"]\n"
        + "[[boards]]\nid = \"usdt\"\nmarkets = [\"BTC-USDT\"]\nsource = \"binance\"\n";
    let config = write_file(&config, &text);
    let log = folder.join("log");
    let file = std::fs::File::create(&log).unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", "json", "--config", config];
    let board = Program::start_with_log(&arguments, Stdio::from(file)).await;
    let line = tokio::time::timeout(DEADLINE, async {
        loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some((line, _)) = text.split_once('\n') {
                return line.to_owned();
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    });
    let line: serde_json::Value = serde_json::from_str(&line.await.unwrap()).unwrap();
    for (member, value) in [
        ("level", "INFO"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("config", config),
        ("store", data.to_str().unwrap()),
        ("boards", "krw,usdt"),
        ("listen", board.url.strip_prefix("http://").unwrap()),
    ] {
        assert_eq!(line[member], value, "{line}");
    }
    let exchanges: std::collections::BTreeSet<&str> = line["exchanges"].as_str().unwrap().split(',').collect();
    assert_eq!(exchanges, ["binance", "bithumb", "upbit"].into(), "{line}");
    assert!(line["commit"].is_string(), "{line}");
    board.kill().await;
    fake.kill().await;
    std::fs::remove_dir_all(folder).unwrap();
}
