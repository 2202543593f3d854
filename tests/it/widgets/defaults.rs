//! `[widgets]`: default options set by the operator. They are validated at the start, and a query overrides them.

use sisepan::config::{self, Config};
use sisepan::options::{Accepted, OptionInfo, TABLE, Widget, settings};

use super::parse::parse;
use super::{AppFixture, WIDGETS, get, quote};

/// Returns every option with a value as TOML that differs from the built-in default, and another value for a query.
fn options() -> Vec<(&'static str, String, String)> {
    let values = |option: &OptionInfo| {
        let (first, last) = match option.accepted {
            Accepted::Switch if (option.built_in)().as_deref() == Some("off") => ("off".to_owned(), "on".to_owned()),
            Accepted::Switch => ("on".to_owned(), "off".to_owned()),
            Accepted::Columns => ("amount".to_owned(), "last,volume".to_owned()),
            Accepted::Numbers(numbers) => (numbers[0].to_string(), numbers.last().unwrap().to_string()),
            Accepted::UpTo(max) => (max.to_string(), "1".to_owned()),
            Accepted::Keywords(words) | Accepted::KeywordOrText { keywords: words, .. } => {
                (words[0].0.to_owned(), words.last().unwrap().0.to_owned())
            }
            Accepted::Name(_) => unreachable!("{} is no setting", option.name),
        };
        (option.name, option.toml(&last), first)
    };
    let basis = TABLE.iter().filter(|option| option.name == "basis");
    settings().chain(basis).map(values).collect()
}

fn parsed(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    config::parse("sisepan.toml", text, &environment).map_err(|errors| errors.to_string())
}

fn widgets_section<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let lines: String = settings.into_iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    format!("[widgets]\n{lines}")
}

/// Returns the response body of a server with this configuration.
async fn body(text: &str, path: &str) -> String {
    let config = parsed(text, &[]).unwrap();
    let mut fixture = AppFixture { site: config.site, ..AppFixture::default() };
    fixture.quotes[2] = quote("TRX-KRW", "447", Some("440"));
    // `widgets.basis` applies to boards without their own basis.
    fixture.boards.iter_mut().for_each(|board| board.basis = config.boards[0].basis);
    let response = get(&fixture.app(), path).await;
    assert_eq!(response.status, 200, "{path}: {}", response.body);
    response.body
}

/// Returns the body without `data-query`, which omits defaults.
async fn appearance(text: &str, path: &str) -> String {
    let body = body(text, path).await;
    let (before, rest) = body.split_once("data-query=\"").unwrap();
    format!("{before}{}", rest.split_once('"').unwrap().1)
}

#[test]
fn every_option_is_a_setting_and_is_documented() {
    let page = include_str!("../../../docs/widgets.md");
    let table = page.split("## Options").nth(1).unwrap().split("###").next().unwrap();
    let listed = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let settings = include_str!("../../../docs/settings.md");
    for option in listed {
        // `[[boards]]` sets the default board and markets.
        if matches!(option, "board" | "markets") {
            continue;
        }
        let all = options();
        let (name, value, _) = all.iter().find(|(name, ..)| *name == option).unwrap_or_else(|| panic!("{option}"));
        parsed(&widgets_section([(*name, value.as_str())]), &[]).unwrap();
        assert!(settings.contains(&format!("| `widgets.{name}` |")), "docs/settings.md lacks widgets.{name}");
    }
}

#[test]
fn an_invalid_default_is_reported_with_file_line_and_key() {
    for (line, expected) in [
        ("lang = \"de\"", "sisepan.toml:2: widgets.lang: must be one of ko, en, ja, is \"de\""),
        ("theme = 1", "sisepan.toml:2: widgets.theme: must be a string"),
        ("colors = \"red\"", "sisepan.toml:2: widgets.colors: must be one of kr, jp"),
        ("colors = \"c8202f-1a5fc8-ff7078\"", "widgets.colors: must be one of"),
        ("size = \"xxl\"", "widgets.size: must be one of xs, s"),
        ("columns = [\"last\",\n\"price\"]", "sisepan.toml:3: widgets.columns: must be one of name, last"),
        ("columns = \"\"", "widgets.columns: must be one of name, last"),
        ("columns = [\"last,change\"]", "widgets.columns: must be one of name, last"),
        ("columns = [\"last\",\n\" price\"]", "sisepan.toml:3: widgets.columns: must be one of name, last"),
        ("density = \"\"", "widgets.density: must be one of"),
        ("flash = \"yes\"", "widgets.flash: must be one of on, off, is \"yes\""),
        ("link = \"https://evil.example\"", "widgets.link: must be one of off, market, or a path"),
        ("interval = 300", "widgets.interval: must be one of 0, 100, 250, 500, 1000, 2000, 5000, is \"300\""),
        ("interval = \"500\"", "widgets.interval: must be an integer"),
        ("count = 0", "widgets.count: must be from 1 to 20"),
        ("basis = \"x\"", "widgets.basis: "),
        ("board = \"krw\"", "sisepan.toml:2: widgets.board: unknown setting; known here: basis, colors"),
    ] {
        let problems = parsed(&format!("[widgets]\n{line}"), &[]).expect_err(line);
        assert!(problems.contains(expected), "{line} gave {problems}, not {expected}");
    }
    let problems = parsed("", &[("SISEPAN_WIDGETS_THEME", "black")]).expect_err("an invalid variable");
    assert!(
        problems.contains("environment variable SISEPAN_WIDGETS_THEME: widgets.theme: must be one of"),
        "{problems}"
    );
}

#[test]
fn the_environment_sets_defaults_too() {
    let environment = [
        ("SISEPAN_WIDGETS_THEME", "dark"),
        ("SISEPAN_WIDGETS_COLUMNS", "last, high"),
        ("SISEPAN_WIDGETS_INTERVAL", "1000"),
        ("SISEPAN_WIDGETS_BASIS", "utc-day"),
    ];
    let config = parsed("[widgets]\ntheme = \"light\"", &environment).unwrap();
    let set = config.site.widgets.set_options();
    let set: Vec<_> = set.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(set, [("theme", "dark"), ("columns", "name,last,high"), ("interval", "1000")]);
    assert_eq!(config.boards[0].basis.as_str(), "utc-day");
    let own = parsed(
        "[widgets]\nbasis = \"utc-day\"\n[[boards]]\nid = \"a\"\nmarkets = [\"BTC-KRW\"]\nsource = \"upbit\"\nbasis = \"24h\"",
        &[],
    );
    assert_eq!(own.unwrap().boards[0].basis.as_str(), "24h", "the basis of a board takes precedence");
}

#[tokio::test]
async fn a_default_applies_only_where_the_query_sets_nothing() {
    for (name, value, other) in options() {
        let option = TABLE.iter().find(|option| option.name == name).unwrap();
        let widget = option.only_for.unwrap_or(Widget::Board).keyword();
        let path = format!("/fragment/{widget}");
        let base = if name == "lang" { "" } else { "lang=ko" };
        let section = widgets_section([(name, value.as_str())]);
        let (default, set) =
            (appearance("", &format!("{path}?{base}")).await, appearance(&section, &format!("{path}?{base}")).await);
        assert_ne!(default, set, "{name} has no effect");
        let query_value = value.replace(['[', ']', '"', ' '], "");
        let requested = format!("{path}?{base}&{name}={query_value}");
        assert_eq!(set, appearance("", &requested).await, "{name}: a default acts like the query");
        let other = format!("{path}?{base}&{name}={other}");
        assert_eq!(appearance(&section, &other).await, appearance("", &other).await, "{name}: the query wins");
    }
}

#[tokio::test]
async fn the_refresh_query_gives_the_same_widget_under_any_defaults() {
    let options = options();
    let all = widgets_section(options.iter().map(|(name, value, _)| (*name, value.as_str())));
    for widget in WIDGETS {
        // Requests the built-in default of each option, while the operator has set another one.
        let query = "lang=ko&theme=auto&colors=kr&size=m&density=normal&flash=on&link=off&credit=on&transparent=off\
                     &interval=500&span=24h&title=on&basis=24h";
        let path = format!("/fragment/{widget}?{query}&columns=last,change");
        let first = body(&all, &path).await;
        let again = parse(&first).unwrap().with("data-query").next().unwrap().get("data-query").to_owned();
        assert_eq!(first, body(&all, &format!("/fragment/{widget}?{again}")).await, "{widget}");
        for attribute in ["data-theme=\"auto\"", "data-colors=\"kr\"", "data-flash=\"on\"", "data-interval=\"500\""] {
            assert!(first.contains(attribute), "{widget}: {attribute}");
        }
    }
}
