//! `[widgets]`: an operator's defaults for every option, checked at the start, below what a page asks for.

use sisepan::config::{self, Config};

use super::parse::parse;
use super::{Set, WIDGETS, ask, quote};

/// Every option with a value that is not the usual one, and another that a page may ask for instead.
const SET: [(&str, &str, &str); 15] = [
    ("lang", "\"ja\"", "en"),
    ("theme", "\"dark\"", "light"),
    ("colors", "\"cb\"", "kr"),
    ("size", "\"xl\"", "xs"),
    ("columns", "[\"last\", \"volume\"]", "amount"),
    ("density", "\"compact\"", "normal"),
    ("flash", "\"off\"", "on"),
    ("link", "\"/coins/{base}\"", "off"),
    ("credit", "\"off\"", "on"),
    ("transparent", "\"on\"", "off"),
    ("interval", "2000", "100"),
    ("span", "\"7d\"", "24h"),
    ("count", "1", "20"),
    ("title", "\"off\"", "on"),
    ("basis", "\"kst-day\"", "utc-day"),
];

fn parsed(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    config::parse("sisepan.toml", text, &environment).map_err(|errors| errors.to_string())
}

fn written(settings: impl IntoIterator<Item = (&'static str, &'static str)>) -> String {
    let lines: String = settings.into_iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    format!("[widgets]\n{lines}")
}

/// What a server whose operator has set this answers.
async fn body(text: &str, path: &str) -> String {
    let config = parsed(text, &[]).unwrap();
    let mut set = Set { site: config.site, ..Set::default() };
    set.quotes[2] = quote("TRX-KRW", "447", Some("440"));
    // `widgets.basis` is that of the boards which have none of their own.
    set.boards.iter_mut().for_each(|board| board.basis = config.boards[0].basis);
    let answer = ask(&set.app(), path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// The same without what asks for it again, which is spelt as short as it may be.
async fn look(text: &str, path: &str) -> String {
    let body = body(text, path).await;
    let (before, rest) = body.split_once("data-query=\"").unwrap();
    format!("{before}{}", rest.split_once('"').unwrap().1)
}

#[test]
fn every_option_is_a_setting_and_is_documented() {
    let page = include_str!("../../../docs/widgets.md");
    let table = page.split("## Options").nth(1).unwrap().split("###").next().unwrap();
    let options = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let manual = include_str!("../../../docs/settings.md");
    for option in options {
        // Which board and which markets are told by `[[boards]]` itself, the first of them.
        if matches!(option, "board" | "markets") {
            continue;
        }
        let (name, value, _) = SET.iter().find(|(name, ..)| *name == option).unwrap_or_else(|| panic!("{option}"));
        parsed(&written([(*name, *value)]), &[]).unwrap();
        assert!(manual.contains(&format!("| `widgets.{name}` |")), "docs/settings.md lacks widgets.{name}");
    }
}

#[test]
fn a_wrong_default_is_told_with_its_file_line_and_key() {
    for (line, said) in [
        ("lang = \"de\"", "sisepan.toml:2: widgets.lang: must be one of ko, en, ja, is \"de\""),
        ("theme = 1", "sisepan.toml:2: widgets.theme: must be text"),
        ("colors = \"red\"", "sisepan.toml:2: widgets.colors: must be one of kr, jp"),
        ("colors = \"c8202f-1a5fc8-ff7078\"", "widgets.colors: must be one of"),
        ("size = \"xxl\"", "widgets.size: must be one of xs, s"),
        ("columns = [\"last\",\n\"price\"]", "sisepan.toml:3: widgets.columns: must be of name, last"),
        ("density = \"\"", "widgets.density: must be one of"),
        ("flash = \"yes\"", "widgets.flash: must be one of on, off, is \"yes\""),
        ("link = \"https://evil.example\"", "widgets.link: must be off, market, or a path"),
        ("interval = 300", "widgets.interval: must be one of 0, 100, 250, 500, 1000, 2000, 5000, is \"300\""),
        ("interval = \"500\"", "widgets.interval: must be a whole number"),
        ("count = 0", "widgets.count: must be from 1 to 20"),
        ("basis = \"x\"", "widgets.basis: "),
        ("board = \"krw\"", "sisepan.toml:2: widgets.board: unknown setting; known here: basis, colors"),
    ] {
        let problems = parsed(&format!("[widgets]\n{line}"), &[]).expect_err(line);
        assert!(problems.contains(said), "{line} gave {problems}, not {said}");
    }
    let problems = parsed("", &[("SISEPAN_WIDGETS_THEME", "black")]).expect_err("a wrong variable");
    assert!(
        problems.contains("environment variable SISEPAN_WIDGETS_THEME: widgets.theme: must be one of"),
        "{problems}"
    );
}

#[test]
fn the_environment_sets_them_too() {
    let environment = [
        ("SISEPAN_WIDGETS_THEME", "dark"),
        ("SISEPAN_WIDGETS_COLUMNS", "last, high"),
        ("SISEPAN_WIDGETS_INTERVAL", "1000"),
        ("SISEPAN_WIDGETS_BASIS", "utc-day"),
    ];
    let config = parsed("[widgets]\ntheme = \"light\"", &environment).unwrap();
    let set: Vec<_> = config.site.widgets.iter().collect();
    assert_eq!(set, [("columns", "last,high"), ("interval", "1000"), ("theme", "dark")]);
    assert_eq!(config.boards[0].basis.as_str(), "utc-day");
    let own = parsed(
        "[widgets]\nbasis = \"utc-day\"\n[[boards]]\nid = \"a\"\nmarkets = [\"BTC-KRW\"]\nsource = \"upbit\"\nbasis = \"24h\"",
        &[],
    );
    assert_eq!(own.unwrap().boards[0].basis.as_str(), "24h", "a board's own goes before it");
}

#[tokio::test]
async fn a_default_holds_where_nothing_is_asked_and_gives_way_where_something_is() {
    for (name, value, other) in SET {
        let widget = match name {
            "span" => "chart",
            "count" => "movers",
            _ => "board",
        };
        let path = format!("/fragment/{widget}");
        let base = if name == "lang" { "" } else { "lang=ko" };
        let own = written([(name, value)]);
        let (default, set) = (look("", &format!("{path}?{base}")).await, look(&own, &format!("{path}?{base}")).await);
        assert_ne!(default, set, "{name} changes nothing");
        let plain = value.replace(['[', ']', '"', ' '], "");
        let asked = format!("{path}?{base}&{name}={plain}");
        assert_eq!(set, look("", &asked).await, "{name}: set is as asked for");
        let other = format!("{path}?{base}&{name}={other}");
        assert_eq!(look(&own, &other).await, look("", &other).await, "{name}: what is asked for goes before it");
    }
}

#[tokio::test]
async fn what_a_widget_asks_for_again_gives_the_same_whatever_the_operator_has_set() {
    let all = written(SET.map(|(name, value, _)| (name, value)));
    for widget in WIDGETS {
        // Each usual value of the program is asked for, against a default that is another.
        let asked = "lang=ko&theme=auto&colors=kr&size=m&density=normal&flash=on&link=off&credit=on&transparent=off\
                     &interval=500&span=24h&title=on&basis=24h";
        let path = format!("/fragment/{widget}?{asked}&columns=last,change");
        let first = body(&all, &path).await;
        let again = parse(&first).unwrap().with("data-query").next().unwrap().get("data-query").to_owned();
        assert_eq!(first, body(&all, &format!("/fragment/{widget}?{again}")).await, "{widget}");
        for usual in ["data-theme=\"auto\"", "data-colors=\"kr\"", "data-flash=\"on\"", "data-interval=\"500\""] {
            assert!(first.contains(usual), "{widget}: {usual}");
        }
    }
}
