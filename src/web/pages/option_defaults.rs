//! The defaults of widget options: as configured by the operator, else built in.

use super::super::AppState;
use super::link_option::Link;
use super::option_types::{ChartSpan, Choice, Colors, Column, Density, Size, Switch, Theme, find};
use super::options::parse_columns;
use crate::locale::Lang;

/// Default of `interval`, in milliseconds.
const INTERVAL_MS: u64 = 500;

/// Default of `columns`.
const COLUMNS: [Column; 3] = [Column::Name, Column::Last, Column::Change];

/// The options of a widget whose query sets none.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionDefaults {
    /// The language; `None` means that of the visitor.
    pub lang: Option<Lang>,
    /// The colour scheme.
    pub theme: Theme,
    /// The colours for rise and fall; `None` means those of the language.
    pub colors: Option<Colors>,
    /// The text size; `None` means the default of the widget.
    pub size: Option<Size>,
    /// The columns of a board.
    pub columns: Vec<Column>,
    /// The height of rows.
    pub density: Density,
    /// Whether a price is highlighted when it changes.
    pub flash: bool,
    /// The target of the link on a name.
    pub link: Link,
    /// Whether the sources are shown; `None` means the default of the widget.
    pub credit: Option<bool>,
    /// Whether the background is transparent.
    pub transparent: bool,
    /// Minimum time between two updates, in milliseconds.
    pub interval_ms: u64,
    /// The period of a chart.
    pub span: ChartSpan,
    /// Number of risers and of fallers; `None` means that of the movers rule.
    pub count: Option<usize>,
    /// Whether the title is shown.
    pub title: bool,
}

impl OptionDefaults {
    /// Returns the defaults. The configuration was validated at start, so a value that can't be parsed does not occur.
    pub fn of(app: &AppState) -> Self {
        let set = |name: &str| app.site().widgets.get(name);
        let switch = |name: &str| keyword::<Switch>(set(name)).map(|switch| switch == Switch::On);
        let number = |name: &str| set(name).and_then(|text| text.parse::<u64>().ok());
        Self {
            lang: keyword(set("lang")),
            theme: keyword(set("theme")).unwrap_or(Theme::Auto),
            colors: set("colors").and_then(|text| text.parse().ok()),
            size: keyword(set("size")),
            columns: set("columns").and_then(|text| parse_columns(text).ok()).unwrap_or_else(|| COLUMNS.into()),
            density: keyword(set("density")).unwrap_or(Density::Normal),
            flash: switch("flash").unwrap_or(true),
            link: set("link").and_then(Link::parse).unwrap_or(Link::Off),
            credit: switch("credit"),
            transparent: switch("transparent").unwrap_or(false),
            interval_ms: number("interval").unwrap_or(INTERVAL_MS),
            span: keyword(set("span")).unwrap_or(ChartSpan::Day),
            count: number("count").and_then(|count| usize::try_from(count).ok()),
            title: switch("title").unwrap_or(true),
        }
    }
}

/// Parses a configured keyword.
fn keyword<T: Choice>(text: Option<&str>) -> Option<T> {
    text.and_then(find)
}

#[cfg(test)]
mod tests {
    use super::super::option_types::allowed;
    use super::*;
    use crate::config::{self, Config};

    fn parsed(name: &str, value: &str) -> Result<Config, String> {
        let text = format!("[widgets]\n{name} = {value}");
        config::parse("x", &text, &Default::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_configuration_accepts_exactly_the_keywords_of_the_options() {
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
            ("span", allowed::<ChartSpan>()),
        ] {
            for word in words.split(", ") {
                parsed(name, &format!("{word:?}")).unwrap();
            }
            let error = parsed(name, "\"x\"").expect_err(name);
            assert!(error.contains(&format!("of {words}, is")), "{name}: {error} is not {words}");
        }
        for interval in super::super::super::rows_query::INTERVALS_MS {
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
