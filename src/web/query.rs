//! The query of a URL, bounded before it is looked at.

use super::ask::{Ask, Refusal};

/// Longest query, in bytes: the names of 128 markets fit into it, percent-encoded, and it into the head of a request.
pub const BYTES_MAX: usize = 12 << 10;

/// Most parameters, known or not.
const PARAMETERS_MAX: usize = 20;

/// Reads what is asked for; parameters that are none of ours are passed over.
///
/// # Errors
/// [`Refusal`] if the query is too long, has too many parameters or names one of ours twice.
pub fn read(query: Option<&str>) -> Result<Ask, Refusal> {
    let names = ["board", "markets", "basis", "lang", "interval_ms"];
    let [board, markets, basis, lang, interval_ms] = known(query, names)?;
    let markets = markets.map(|list| list.split(',').map(str::to_owned).collect());
    Ok(Ask { board, markets, basis, lang, interval_ms })
}

/// Returns the values of the parameters called `names`.
///
/// # Errors
/// As [`read`].
pub fn known<const N: usize>(query: Option<&str>, names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
    let query = query.unwrap_or_default();
    if query.len() > BYTES_MAX {
        return Err(Refusal::new("query-too-long", "", format!("query is longer than {BYTES_MAX} bytes")));
    }
    let mut values = [const { None }; N];
    for (count, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
        if count >= PARAMETERS_MAX {
            let detail = format!("query has more than {PARAMETERS_MAX} parameters");
            return Err(Refusal::new("query-too-long", "", detail));
        }
        let Some(at) = names.iter().position(|known| *known == name) else { continue };
        if values[at].replace(value.into_owned()).is_some() {
            return Err(Refusal::new("bad-field", &name, format!("{name} is given twice")));
        }
    }
    Ok(values)
}
