//! `sisepan check`, and how the program says what it was started with.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::{DEADLINE, LOOK, Program, configured, folder};

async fn sisepan(arguments: &[&str]) -> (Option<i32>, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_sisepan")).args(arguments).kill_on_drop(true).output();
    let Output { status, stdout, stderr } = tokio::time::timeout(DEADLINE, run).await.unwrap().unwrap();
    (status.code(), format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap()))
}

fn written<'a>(file: &'a Path, text: &str) -> &'a str {
    std::fs::write(file, text).unwrap();
    file.to_str().unwrap()
}

#[tokio::test]
async fn fc_42_check_finds_what_serve_would_stumble_over() {
    let folder = folder("check-obstacles");
    let plain = folder.join("plain");
    std::fs::write(&plain, "a file").unwrap();
    let foreign = folder.join("foreign");
    std::fs::create_dir_all(&foreign).unwrap();
    std::fs::write(foreign.join("sisepan.db"), "no database, whatever its name").unwrap();
    let (plain, foreign) = (plain.display(), foreign.display());
    for (text, said) in [
        (format!("data = \"{plain}\""), "data: "),
        (format!("data = \"{plain}/below/it\""), "is not a directory"),
        ("data = \"/proc/sisepan\"".to_owned(), "can't be written to"),
        (format!("data = \"{foreign}\""), "not a database"),
        ("data = \"none\"\nlisten = \"192.0.2.1:8080\"".to_owned(), "listen: can't listen on 192.0.2.1:8080"),
        ("data = \"none\"\nlisten = \"no-such-host.invalid:80\"".to_owned(), "listen: can't listen on no-such-host"),
        ("listen = \"192.0.2.1:8080\"\ndata = \"/proc/sisepan\"".to_owned(), "2 mistakes"),
    ] {
        let config = folder.join("sisepan.toml");
        let (code, output) = sisepan(&["check", "--config", written(&config, &text)]).await;
        assert_eq!(code, Some(2), "{text}: {output}");
        assert!(output.contains(said) && !output.contains("configuration OK"), "{text}: {output}");
    }
    // What is in order passes, and leaves nothing behind.
    let fresh = folder.join("fresh");
    let text = format!("listen = \"127.0.0.1:0\"\ndata = \"{}\"", fresh.display());
    let (code, output) = sisepan(&["check", "--config", written(&folder.join("sisepan.toml"), &text)]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(!fresh.exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_42_check_says_what_another_process_has_and_does_not_fail() {
    let folder = folder("check-taken");
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let lock = std::fs::File::create(data.join("sisepan.lock")).unwrap();
    lock.lock().unwrap();
    let text = format!("listen = \"{address}\"\ndata = \"{}\"", data.display());
    let file = folder.join("sisepan.toml");
    let config = written(&file, &text);
    let notes = [
        format!("note: listen: {address} is in use: by a running server, or serve will not start"),
        format!("note: data: {} is in use: by a running server, or serve will not start", data.display()),
    ];
    let (code, output) = sisepan(&["check", "--config", config]).await;
    assert!(code == Some(0) && output.contains("configuration OK"), "{output}");
    notes.iter().for_each(|note| assert!(output.contains(note), "without {note}: {output}"));
    // So it is: this is what the notes are about.
    assert_eq!(sisepan(&["serve", "--config", config]).await.0, Some(1));
    // A flag counts as the setting does, and what is free has no note.
    let (code, output) = sisepan(&["check", "--listen", "127.0.0.1:0", "--data", "none", "--config", config]).await;
    assert!(code == Some(0) && !output.contains("note:"), "{output}");
    drop((taken, lock));
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
        let config = written(&config, &text);
        for command in ["check", "serve"] {
            let (code, output) = sisepan(&[command, "--config", config]).await;
            assert_eq!(code, Some(2), "{command}: {output}");
            for said in
                [":2: public_url: must end with base_path", ":3: percent_places", ":5: tls.ca: ", problem, "3 mistakes"]
            {
                assert!(output.contains(said), "{command} without {said}: {output}");
            }
        }
    }
    // A proxy may put more in front of the path; without `base_path` it may strip all of it.
    for text in [
        "base_path = \"/prices\"\npublic_url = \"https://example.com/site/prices/\"",
        "base_path = \"/prices/\"\npublic_url = \"https://example.com/prices\"",
        "public_url = \"https://example.com/prices\"",
        "base_path = \"/prices\"",
    ] {
        let text = format!("{text}\ndata = \"none\"\nlisten = \"127.0.0.1:0\"");
        let (code, output) = sisepan(&["check", "--config", written(&config, &text)]).await;
        assert_eq!(code, Some(0), "{text}: {output}");
    }
    let text = "base_path = \"/prices\"\npublic_url = \"https://example.com/myprices\"";
    assert_eq!(sisepan(&["check", "--config", written(&config, text)]).await.0, Some(2));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_42_a_live_check_fails_for_a_market_that_no_source_has() {
    let folder = folder("check-unlisted");
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let board =
        |markets: &str, source: &str| format!("[[boards]]\nid = \"krw\"\nmarkets = [{markets}]\nsource = {source}\n");
    for (markets, source, code, said) in [
        (r#""BTC-KRW", "NOPE-KRW""#, r#"["bithumb", "upbit"]"#, 1, "board krw: no price for NOPE-KRW"),
        (r#""KRW-BTC", "ETH-KRW""#, r#""bithumb""#, 1, "is not listed; did you mean BTC-KRW?"),
        (r#""BTC-KRW""#, r#"["bithumb", "upbit"]"#, 0, "prices   1 of 1"),
    ] {
        let config = configured(&folder, &fake.url, "listen = \"127.0.0.1:0\"\n");
        let text = std::fs::read_to_string(&config).unwrap() + &board(markets, source);
        let (ended, output) = sisepan(&["check", "--live", "--config", written(&config, &text)]).await;
        assert_eq!(ended, Some(code), "{markets}: {output}");
        assert!(output.contains(said), "{markets}: {output}");
    }
    fake.end().await;
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_53_a_market_whose_quote_stands_first_gets_a_hint() {
    let folder = folder("check-swapped");
    let file = folder.join("sisepan.toml");
    for (market, source, likely) in [
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
        let (code, output) = sisepan(&["check", "--config", written(&file, &text)]).await;
        assert_eq!(code, Some(0), "{output}");
        match likely {
            Some(likely) => assert!(
                output.contains(&format!("{market}: ")) && output.contains(&format!("did you mean {likely}?")),
                "{output}"
            ),
            None => assert!(!output.contains("did you mean"), "{output}"),
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn fc_08_a_live_check_refuses_what_serve_refuses() {
    let folder = folder("check-refused");
    let script = folder.join("faults.jsonl");
    for (fault, said) in
        [(r#""fault":"unit","unit":"us""#, "time"), (r#""fault":"status","status":503"#, "failed: binance")]
    {
        let fault = format!(r#"{{"at":0,"seconds":600,{fault}}}"#);
        let script = written(&script, &fault);
        let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--script", script]).await;
        let config = configured(&folder, &fake.url, "listen = \"127.0.0.1:0\"\n");
        let board = "[[boards]]\nid = \"usdt\"\nmarkets = [\"BTC-USDT\", \"ETH-USDT\"]\nsource = \"binance\"\n";
        let text = std::fs::read_to_string(&config).unwrap() + board;
        let (code, output) = sisepan(&["check", "--live", "--config", written(&config, &text)]).await;
        assert_eq!(code, Some(1), "{fault}: {output}");
        assert!(output.contains(said) && output.contains("1 of 1 exchanges failed: binance"), "{fault}: {output}");
        fake.end().await;
    }
    std::fs::remove_dir_all(folder).unwrap();
}

/// What `check --live` prints, and its exit code, where Upbit has faults. Its rows are stale after the usual time.
async fn live_check_of_upbit(name: &str, faults: &[&str]) -> (Option<i32>, String) {
    let folder = folder(&format!("check-{name}"));
    let script = folder.join("faults.jsonl");
    let faults: String = faults.iter().map(|fault| format!("{{{fault}}}\n")).collect();
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0", "--script", written(&script, &faults)]).await;
    let config = configured(&folder, &fake.url, "listen = \"127.0.0.1:0\"\n");
    let text = std::fs::read_to_string(&config).unwrap().replace("stale_after_secs = 5\n", "")
        + "[[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\", \"ETH-KRW\", \"XRP-KRW\"]\nsource = \"upbit\"\n";
    let ended = sisepan(&["check", "--live", "--config", written(&config, &text)]).await;
    fake.end().await;
    std::fs::remove_dir_all(folder).unwrap();
    ended
}

/// REST tells of prices that are believed at first; then nothing is that comes over the stream, nor from REST.
#[tokio::test]
async fn fc_08_a_live_check_does_not_pass_while_the_stream_is_refused() {
    let checks = ["40000", "-40000", "-20000"].map(|ms| async move {
        let stream = format!(r#""at":0,"fault":"skew","ms":{ms},"on":"stream","seconds":600"#);
        let rest = r#""at":3,"fault":"unit","unit":"us","on":"rest","seconds":600"#;
        (ms, live_check_of_upbit(&format!("skew-{ms}"), &[&stream, rest]).await)
    });
    for (ms, (code, output)) in futures_util::future::join_all(checks).await {
        assert_eq!(code, Some(1), "{ms}: {output}");
        for said in ["prices   0 of 3", "rejected time-", "reason   no price of 3 wanted", "1 of 1 exchanges failed"] {
            assert!(output.contains(said), "{ms} without {said}: {output}");
        }
    }
}

#[tokio::test]
async fn fc_08_one_bad_record_fails_no_live_check() {
    let fault = r#""at":0,"fault":"set-field","field":"trade_price","payload":"\"x\"","symbol":"KRW-ETH","on":"rest","path":"/v1/ticker","times":1"#;
    let (code, output) = live_check_of_upbit("one-record", &[fault]).await;
    assert_eq!(code, Some(0), "{output}");
    for said in ["prices   3 of 3", "stream   connected", "rejected malformed in trade_price, 1 times"] {
        assert!(output.contains(said), "without {said}: {output}");
    }
}

#[tokio::test]
async fn fc_42_a_live_check_gives_the_reason_of_what_failed() {
    let checks = [
        ("upgrade", r#""at":0,"fault":"status","status":502,"on":"stream","seconds":600"#, "stream   failed: ", "502"),
        (
            "list",
            r#""at":0,"fault":"status","status":503,"path":"/v1/market/all","seconds":600"#,
            "list     not received: ",
            "503",
        ),
    ]
    .map(|(name, fault, line, reason)| async move { (name, line, reason, live_check_of_upbit(name, &[fault]).await) });
    for (name, line, reason, (code, output)) in futures_util::future::join_all(checks).await {
        assert_eq!(code, Some(1), "{name}: {output}");
        let told = output.lines().find(|told| told.trim_start().starts_with(line));
        assert!(told.is_some_and(|told| told.contains(reason)), "{name}: {output}");
        // The trial asks for no past, so that it lacks is no finding.
        assert!(!output.contains("without a base"), "{name}: {output}");
    }
}

#[tokio::test]
async fn fc_55_names_and_ports_alone_are_listened_on_and_a_flag_is_blamed_by_its_name() {
    for listen in ["localhost:0", ":0", "127.0.0.1:0"] {
        let board = Program::start(&["demo", "--listen", listen]).await;
        let port = board.url.rsplit_once(':').unwrap().1.to_owned();
        let reachable = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await;
        assert!(reachable.is_ok(), "{listen}: {} is not reachable as 127.0.0.1", board.url);
        board.end().await;
        let fake = Program::start(&["fake", "--listen", listen]).await;
        fake.end().await;
    }
    let (code, output) = sisepan(&["serve", "--listen", "8080"]).await;
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("--listen: listen: must be an address and a port"), "{output}");
    assert!(!output.contains("environment variable"), "{output}");
}

#[tokio::test]
async fn fc_55_no_option_is_offered_that_does_nothing() {
    for (command, none) in
        [("demo", &["--data"][..]), ("check", &["--log"]), ("backup", &["--listen", "--log"]), ("serve", &[])]
    {
        let (_, help) = sisepan(&[command, "--help"]).await;
        for option in ["--config", "--listen", "--log", "--data"] {
            let offered = help.lines().any(|line| line.trim_start().starts_with(option));
            assert_eq!(offered, !none.contains(&option), "{command} {option}: {help}");
        }
        for option in none {
            assert_eq!(sisepan(&[command, option, "x"]).await.0, Some(2), "{command} {option}");
        }
    }
}

#[tokio::test]
async fn fc_46_the_first_log_line_says_what_was_started() {
    let folder = folder("start-line");
    let fake = Program::start(&["fake", "--listen", "127.0.0.1:0"]).await;
    let data = folder.join("data");
    let config = configured(&folder, &fake.url, "");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("data = \"none\"", &format!("data = \"{}\"", data.display()))
        + "[[boards]]\nid = \"krw\"\nmarkets = [\"BTC-KRW\"]\nsource = [\"bithumb\", \"upbit\"]\n"
        + "[[boards]]\nid = \"usdt\"\nmarkets = [\"BTC-USDT\"]\nsource = \"binance\"\n";
    let config = written(&config, &text);
    let log = folder.join("log");
    let file = std::fs::File::create(&log).unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--log", "json", "--config", config];
    let board = Program::logging(&arguments, Stdio::from(file)).await;
    let line = tokio::time::timeout(DEADLINE, async {
        loop {
            let text = std::fs::read_to_string(&log).unwrap();
            if let Some((line, _)) = text.split_once('\n') {
                return line.to_owned();
            }
            tokio::time::sleep(LOOK).await;
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
    board.end().await;
    fake.end().await;
    std::fs::remove_dir_all(folder).unwrap();
}
