//! Rows as CSV.

use std::fmt::{Display, Write as _};

use jiff::Timestamp;

use super::{Basis, Row};

const HEAD: &str = "market,base,quote,venue,last,change_percent,change_amount,direction,basis,base_price,base_at,base_source,\
     high_24h,low_24h,range_source,base_volume_24h,quote_volume_24h,state,traded_at,received_at,confirmed_at,reason,notice,notice_date,cautions\n";

/// Encodes rows as CSV with a header line.
pub fn rows_csv(rows: &[Row], basis: Basis) -> String {
    let mut csv = String::from(HEAD);
    for row in rows {
        let change = row.change.as_ref();
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!("{at:.3}"));
        let cells = [
            text(row.market.as_str()),
            text(&row.base),
            text(&row.quote),
            row.venue.to_string(),
            cell(row.last),
            cell(change.map(|change| change.percent)),
            cell(change.map(|change| change.amount)),
            cell(change.map(|change| change.direction.as_str())),
            basis.to_string(),
            cell(change.map(|change| change.base_price)),
            change.map_or_else(String::new, |change| format!("{:.0}", change.base_at)),
            cell(change.map(|change| change.base_source.as_str())),
            cell(row.high_24h),
            cell(row.low_24h),
            cell(row.range_source.map(|source| source.as_str())),
            cell(row.base_volume_24h),
            cell(row.quote_volume_24h),
            row.state.as_str().to_owned(),
            time(row.traded_at),
            time(row.received_at),
            time(row.confirmed_at),
            cell(row.reason.map(|reason| reason.as_str())),
            cell(row.notice.as_ref().map(|notice| notice.kind.as_str())),
            cell(row.notice.as_ref().and_then(|notice| notice.date)),
            row.notice.as_ref().map_or_else(String::new, |notice| notice.cautions.join(" ")),
        ];
        // Writing to a `String` can't fail.
        let _ = writeln!(csv, "{}", cells.join(","));
    }
    csv
}

/// Encodes text chosen by an exchange: quoted if it contains a delimiter (RFC 4180), and prefixed with an
/// apostrophe if a spreadsheet would interpret it as a formula.
fn text(name: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let plain = if name.starts_with(FORMULA) { format!("'{name}") } else { name.to_owned() };
    if plain.contains(['"', ',', ';', '\'']) { format!("\"{}\"", plain.replace('"', "\"\"")) } else { plain }
}

/// Encodes a value; an unknown one as an empty cell.
fn cell(value: Option<impl Display>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
