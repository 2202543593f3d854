//! Parsing of the query of a URL, within bounds.

use super::rows_query::{BadRequest, RowsQuery};

/// Maximum length of a query in bytes: holds 128 percent-encoded market names, and fits into the head of a request.
pub const BYTES_MAX: usize = 12 << 10;

/// Maximum number of parameters, known or not.
const PARAMETERS_MAX: usize = 20;

/// Parses a query for rows; unknown parameters are ignored.
///
/// # Errors
/// Returns [`BadRequest`] if the query is too long, has too many parameters, or repeats a known one.
pub fn parse_rows_query(query: Option<&str>) -> Result<RowsQuery, BadRequest> {
    let names = ["board", "markets", "basis", "lang", "interval_ms"];
    let [board, markets, basis, lang, interval_ms] = parse_parameters(query, names)?;
    let markets = markets.map(|list| list.split(',').map(str::to_owned).collect());
    Ok(RowsQuery { board, markets, basis, lang, interval_ms })
}

/// Returns the values of the parameters `names`.
///
/// # Errors
/// As for [`parse_rows_query`].
pub fn parse_parameters<const N: usize>(
    query: Option<&str>,
    names: [&str; N],
) -> Result<[Option<String>; N], BadRequest> {
    let query = query.unwrap_or_default();
    if query.len() > BYTES_MAX {
        return Err(BadRequest::new("query-too-long", "", format!("query is longer than {BYTES_MAX} bytes")));
    }
    let mut values = [const { None }; N];
    for (count, (name, value)) in url::form_urlencoded::parse(query.as_bytes()).enumerate() {
        if count >= PARAMETERS_MAX {
            let detail = format!("query has more than {PARAMETERS_MAX} parameters");
            return Err(BadRequest::new("query-too-long", "", detail));
        }
        let Some(index) = names.iter().position(|known| *known == name) else { continue };
        if values[index].replace(value.into_owned()).is_some() {
            return Err(BadRequest::new("bad-field", &name, format!("{name} is given twice")));
        }
    }
    Ok(values)
}
