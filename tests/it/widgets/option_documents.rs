//! The documents list exactly the options of the table. With `UPDATE_DOCUMENTS=1` they are written; tests that include
//! them see that after the next build.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sisepan::locale::Lang;
use sisepan::options::{Accepted, Keyword, OptionInfo, TABLE, settings};

/// Options whose type in TypeScript accepts any text: `title` is an attribute of all HTML elements, and programs may rely
/// on the other.
const OPEN: [&str; 2] = ["density", "title"];

/// Writes or checks a file.
fn update(file: &str, expected: impl FnOnce(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap();
    let expected = expected(&text);
    if std::env::var("UPDATE_DOCUMENTS").as_deref() == Ok("1") {
        fs::write(&path, expected).unwrap();
    } else {
        assert!(text == expected, "{file} differs from the table of options; UPDATE_DOCUMENTS=1 writes it");
    }
}

/// Writes or checks the part of a file between two texts.
fn check(file: &str, from: &str, to: &str, expected: &str) {
    update(file, |text| {
        let (before, after) = text.split_once(from).unwrap_or_else(|| panic!("{file} lacks {from:?}"));
        let (_, after) = after.split_at(after.find(to).unwrap_or_else(|| panic!("{file} lacks {to:?}")));
        [before, from, expected, after].concat()
    });
}

fn code(words: &[Keyword]) -> String {
    words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn values(option: &OptionInfo) -> String {
    let words = code(option.accepted.keywords());
    match option.accepted {
        Accepted::Keywords(_) | Accepted::Switch => words,
        Accepted::Columns => format!("of {words}"),
        Accepted::KeywordOrText { name, .. } => format!("{words}, or {name}"),
        Accepted::Numbers(_) | Accepted::UpTo(_) | Accepted::Name(_) => option.accepted.allowed(Lang::En),
    }
}

/// Returns the default in Markdown; `format` formats a built-in one.
fn default(option: &OptionInfo, format: impl Fn(&str) -> String) -> String {
    (option.built_in)().map_or_else(|| option.default.to_owned(), |text| format!("`{}`", format(&text)))
}

/// Returns a value as a query has it. The name of a market is always shown, so it need not be listed.
fn in_query(value: &str) -> String {
    value.strip_prefix("name,").unwrap_or(value).to_owned()
}

#[test]
fn the_pages_of_the_documentation_list_the_options_of_the_table() {
    let row = |option: &OptionInfo| {
        format!("| `{}` | {} | {} | {} |\n", option.name, values(option), default(option, in_query), option.about)
    };
    let rows: String = TABLE.iter().map(row).collect();
    check(
        "docs/widgets.md",
        "| option | values | default | meaning |\n| --- | --- | --- | --- |\n",
        "\n\n",
        rows.trim_end(),
    );
    let row = |option: &OptionInfo| {
        let default = default(option, |value| option.toml(value));
        let values = match option.accepted {
            // The form of other texts is described here, for operators.
            Accepted::KeywordOrText { form, .. } => format!("{}, {}", code(option.accepted.keywords()), form(Lang::En)),
            _ => values(option),
        };
        format!("| `widgets.{}` | {default} | {values} |\n", option.name)
    };
    let basis = TABLE.iter().find(|option| option.name == "basis").unwrap();
    let boards = format!("| `widgets.basis` | `\"24h\"` | {} |\n", values(basis));
    let rows: String = [boards].into_iter().chain(settings().map(row)).collect();
    let head = "interval = 1000\n```\n\n| setting | default | values |\n| --- | --- | --- |\n";
    check("docs/settings.md", head, "\n\n", rows.trim_end());
}

#[test]
fn the_script_and_its_types_have_the_options_of_the_table() {
    let names: Vec<_> = TABLE.iter().map(|option| option.name).collect();
    check("static/sisepan.js", "const OPTIONS = '", " announce'.split", &names.join(" "));
    let mut members = String::new();
    for option in TABLE {
        let words =
            option.accepted.keywords().iter().map(|(word, _)| format!("'{word}'")).collect::<Vec<_>>().join(" | ");
        let kind = match option.accepted {
            Accepted::Keywords(_) if option.name == "basis" => "Basis".to_owned(),
            Accepted::Keywords(_) => words,
            Accepted::KeywordOrText { .. } => format!("{words} | (string & {{}})"),
            Accepted::Switch => "Switch".to_owned(),
            Accepted::Numbers(numbers) => {
                numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" | ") + " | `${number}`"
            }
            Accepted::UpTo(_) => "number | `${number}`".to_owned(),
            Accepted::Columns | Accepted::Name(_) => "string".to_owned(),
        };
        let open = if OPEN.contains(&option.name) { " | (string & {})" } else { "" };
        let (about, default) = (plain(option.about), plain(&default(option, in_query)));
        writeln!(members, "  /** {}. Default: {default}. */\n  {}?: {kind}{open};", capital(&about), option.name)
            .unwrap();
    }
    check("static/sisepan.d.ts", "export interface SisepanOptions {\n", "  /** A button with which", &members);
}

#[test]
fn the_api_document_has_the_options_of_the_table() {
    // Board and markets are described there, with the limits of each widget.
    let options: Vec<_> = TABLE.iter().filter(|option| !matches!(option.accepted, Accepted::Name(_))).collect();
    let key = |option: &OptionInfo| match option.name {
        // The API has parameters with these names as well.
        "basis" | "lang" => format!("option{}", capital(option.name)),
        "span" => "chartSpan".to_owned(),
        name => name.to_owned(),
    };
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let mut components = String::new();
    for option in &options {
        let words: Vec<_> = option.accepted.keywords().iter().map(|(word, _)| json(word)).collect();
        let listed = words.join(", ");
        // An empty value counts as absent.
        let schema = match option.accepted {
            Accepted::Keywords(_) => format!(r#"{{ "type": "string", "enum": [{listed}, ""] }}"#),
            Accepted::Switch => format!(r#"{{ "type": "string", "enum": [{listed}, "true", "false", ""] }}"#),
            Accepted::Columns => {
                format!(r#"{{ "type": "array", "items": {{ "type": "string", "enum": [{listed}, ""] }} }}"#)
            }
            Accepted::Numbers(numbers) => {
                let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
                format!(r#"{{ "enum": [{}, ""] }}"#, numbers.join(", "))
            }
            Accepted::UpTo(max) => {
                format!(
                    r#"{{ "oneOf": [{{ "type": "integer", "minimum": 1, "maximum": {max} }}, {{ "const": "" }}] }}"#
                )
            }
            Accepted::KeywordOrText { pattern, max, .. } => {
                let pattern = json(&format!("^({pattern})?$"));
                format!(r#"{{ "type": "string", "maxLength": {max}, "pattern": {pattern} }}"#)
            }
            Accepted::Name(_) => unreachable!(),
        };
        let style = match option.accepted {
            Accepted::Columns => "        \"style\": \"form\",\n        \"explode\": false,\n",
            _ => "",
        };
        let values = match option.accepted {
            Accepted::KeywordOrText { .. } => format!(" Values: {}.", option.accepted.allowed(Lang::En)),
            _ => String::new(),
        };
        let (about, default) = (capital(&plain(option.about)), plain(&default(option, in_query)));
        let description = json(&format!("{about}.{values} Default: {default}."));
        write!(
            components,
            "      \"{}\": {{\n        \"name\": \"{}\",\n        \"in\": \"query\",\n        \"description\": {description},\n        \
             \"allowEmptyValue\": true,\n{style}        \"schema\": {schema}\n      }},\n",
            key(option),
            option.name,
        )
        .unwrap();
    }
    let file = "static/openapi.json";
    let head = r#"        "example": ["BTC-KRW"]
      },
"#;
    check(file, head, "      \"search\": {\n", &components);
    let reference = |key: &str| format!("          {{ \"$ref\": \"#/components/parameters/{key}\" }}");
    let keys: Vec<String> = options.iter().map(|option| key(option)).collect();
    let is_listed = |line: &str| keys.iter().any(|key| line.trim_end_matches(',') == reference(key));
    update(file, |text| {
        let (mut updated, mut lines, mut lists) = (String::new(), text.lines().peekable(), 0);
        while let Some(line) = lines.next() {
            if !line.starts_with(&reference(&keys[0])) {
                updated += line;
                updated.push('\n');
                continue;
            }
            let mut listed = vec![line];
            while let Some(line) = lines.next_if(|line| is_listed(line)) {
                listed.push(line);
            }
            // The form describes `columns` itself, since it may be repeated there.
            let is_form = !listed.iter().any(|line| line.contains("/columns\""));
            let wanted = keys.iter().filter(|key| !(is_form && *key == "columns")).map(|key| reference(key));
            updated += &wanted.collect::<Vec<_>>().join(",\n");
            updated += if listed.last().unwrap().ends_with(',') { ",\n" } else { "\n" };
            lists += 1;
        }
        assert_eq!(lists, 14, "{file}: paths with all options");
        updated
    });
}

/// Returns the text without Markdown.
fn plain(markdown: &str) -> String {
    markdown.replace('`', "")
}

fn capital(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}
