//! What holds where nobody asks for anything: what the operator has set, else what is written here.

use super::super::AppState;
use super::choice::{Choice, Colors, Column, Density, Reach, Size, Switch, Theme, find};
use super::link::Link;
use super::options::columns;
use crate::text::Lang;

/// How often prices are renewed, in milliseconds.
const INTERVAL_MS: u64 = 500;

/// The columns of the reference board.
const COLUMNS: [Column; 3] = [Column::Name, Column::Last, Column::Change];

/// The options of a widget whose page names none.
#[derive(Debug, Clone, PartialEq)]
pub struct Usual {
    /// The language; the reader's own if none is set.
    pub lang: Option<Lang>,
    /// The ground.
    pub theme: Theme,
    /// Rise and fall; those of the language if none are set.
    pub colors: Option<Colors>,
    /// The text size; each widget has its own if none is set.
    pub size: Option<Size>,
    /// The columns of a board.
    pub columns: Vec<Column>,
    /// How close rows stand.
    pub density: Density,
    /// Whether a price that changed lights up.
    pub flash: bool,
    /// Where a name leads.
    pub link: Link,
    /// Whether the sources are named; each widget has its own habit if that is not set.
    pub credit: Option<bool>,
    /// Whether the page behind shows through.
    pub transparent: bool,
    /// Shortest time between two changes, in milliseconds.
    pub interval_ms: u64,
    /// How far back a chart begins.
    pub span: Reach,
    /// How many risers and fallers; as the rule of the movers says if that is not set.
    pub count: Option<usize>,
    /// Whether the heading stands.
    pub title: bool,
}

impl Usual {
    /// Reads what the operator has set. The configuration has been checked: what can't be read there stops the start.
    pub fn of(app: &AppState) -> Self {
        let set = |name: &str| app.site().widgets.get(name);
        let switch = |name: &str| word::<Switch>(set(name)).map(|switch| switch == Switch::On);
        let number = |name: &str| set(name).and_then(|text| text.parse::<u64>().ok());
        Self {
            lang: word(set("lang")),
            theme: word(set("theme")).unwrap_or(Theme::Auto),
            colors: set("colors").and_then(|text| text.parse().ok()),
            size: word(set("size")),
            columns: set("columns").and_then(|text| columns(text).ok()).unwrap_or_else(|| COLUMNS.into()),
            density: word(set("density")).unwrap_or(Density::Normal),
            flash: switch("flash").unwrap_or(true),
            link: set("link").and_then(Link::read).unwrap_or(Link::Off),
            credit: switch("credit"),
            transparent: switch("transparent").unwrap_or(false),
            interval_ms: number("interval").unwrap_or(INTERVAL_MS),
            span: word(set("span")).unwrap_or(Reach::Day),
            count: number("count").and_then(|count| usize::try_from(count).ok()),
            title: switch("title").unwrap_or(true),
        }
    }
}

fn word<T: Choice>(text: Option<&str>) -> Option<T> {
    text.and_then(find)
}

#[cfg(test)]
mod tests {
    use super::super::choice::allowed;
    use super::*;
    use crate::config::{self, Config};

    fn parsed(name: &str, value: &str) -> Result<Config, String> {
        let text = format!("[widgets]\n{name} = {value}");
        config::parse("x", &text, &Default::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_configuration_takes_exactly_the_words_of_the_options() {
        for (name, words) in [
            ("lang", allowed::<Lang>()),
            ("theme", allowed::<Theme>()),
            ("size", allowed::<Size>()),
            ("columns", allowed::<Column>()),
            ("density", allowed::<Density>()),
            ("flash", allowed::<Switch>()),
            ("credit", allowed::<Switch>()),
            ("transparent", allowed::<Switch>()),
            ("title", allowed::<Switch>()),
            ("span", allowed::<Reach>()),
        ] {
            for word in words.split(", ") {
                parsed(name, &format!("{word:?}")).unwrap();
            }
            let refusal = parsed(name, "\"x\"").expect_err(name);
            assert!(refusal.contains(&format!("of {words}, is")), "{name}: {refusal} is not {words}");
        }
        for interval in super::super::super::ask::INTERVALS_MS {
            parsed("interval", &interval.to_string()).unwrap();
        }
        for colors in Colors::allowed(Lang::En).split(", ").take(5) {
            parsed("colors", &format!("{colors:?}")).unwrap();
            assert!(colors.parse::<Colors>().is_ok(), "{colors}");
        }
        parsed("count", &super::super::options::COUNT_MAX.to_string()).unwrap();
        assert!(parsed("count", &(super::super::options::COUNT_MAX + 1).to_string()).is_err());
    }
}
