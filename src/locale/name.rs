//! Display names of assets and exchanges.

use super::Lang;
use crate::market::{Quote, VenueId, asset as table, is_unprintable};

/// Maximum length of a name from a venue's market list, in characters; longer ones are cut.
const NAME_CHARS_MAX: usize = 40;

/// Returns the display name of the row's base asset.
///
/// Looked up in the built-in asset table, then in the venue's market list; the fallback is the asset id.
pub fn name(quote: &Quote, lang: Lang) -> String {
    let base = quote.market.base();
    if table::find(base).is_some() {
        return asset(base, lang);
    }
    let listed = match lang {
        Lang::Ko => quote.korean_name.as_ref().or(quote.english_name.as_ref()),
        Lang::En | Lang::Ja => quote.english_name.as_ref(),
    };
    let listed = listed.map(|name| printable(name)).filter(|name| !name.is_empty());
    listed.unwrap_or_else(|| base.to_owned()).chars().take(NAME_CHARS_MAX).collect()
}

/// Collapses white space and removes control and bidirectional characters that would affect the text around the name.
fn printable(name: &str) -> String {
    let shown = name.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_unprintable(*c));
    shown.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the display name of an asset, or its id if the built-in table has no entry.
pub fn asset(id: &str, lang: Lang) -> String {
    table::find(id).map_or(id, |asset| lang.pick(asset.ko, asset.en, asset.ja)).to_owned()
}

/// Returns the initial consonant of each Hangul syllable (`비트코인` gives `ㅂㅌㅋㅇ`), as typed in Korean searches.
pub fn initials(text: &str) -> String {
    const INITIALS: [char; 19] = [
        'ㄱ', 'ㄲ', 'ㄴ', 'ㄷ', 'ㄸ', 'ㄹ', 'ㅁ', 'ㅂ', 'ㅃ', 'ㅅ', 'ㅆ', 'ㅇ', 'ㅈ', 'ㅉ', 'ㅊ', 'ㅋ', 'ㅌ', 'ㅍ',
        'ㅎ',
    ];
    // Syllables are ordered by initial consonant, 588 for each (Unicode 15, section 3.12).
    let initial = |c: char| {
        let at = u32::from(c).checked_sub(0xac00).filter(|at| *at < 19 * 588)?;
        INITIALS.get(usize::try_from(at / 588).ok()?).copied()
    };
    text.chars().filter_map(initial).collect()
}

/// Returns the display name of an exchange, or its id if it is not in the table.
pub fn venue(id: VenueId, lang: Lang) -> &'static str {
    let known = VENUES.iter().find(|(known, _)| *known == id.as_str());
    known.map_or(id.as_str(), |(_, [ko, en, ja])| lang.pick(ko, en, ja))
}

/// Venue id with its names in Korean, English and Japanese.
const VENUES: &[(&str, [&str; 3])] = &[
    ("binance", ["바이낸스", "Binance", "バイナンス"]),
    ("bitfinex", ["비트파이넥스", "Bitfinex", "ビットフィネックス"]),
    ("bitflyer", ["비트플라이어", "bitFlyer", "ビットフライヤー"]),
    ("bitget", ["비트겟", "Bitget", "ビットゲット"]),
    ("bithumb", ["빗썸", "Bithumb", "ビッサム"]),
    ("bitstamp", ["비트스탬프", "Bitstamp", "ビットスタンプ"]),
    ("bybit", ["바이비트", "Bybit", "バイビット"]),
    ("coinbase", ["코인베이스", "Coinbase", "コインベース"]),
    ("coinone", ["코인원", "Coinone", "コインワン"]),
    ("cryptocom", ["크립토닷컴", "Crypto.com", "クリプトドットコム"]),
    ("gate", ["게이트", "Gate", "ゲート"]),
    ("gemini", ["제미니", "Gemini", "ジェミニ"]),
    ("gopax", ["고팍스", "GOPAX", "ゴーパックス"]),
    ("htx", ["HTX", "HTX", "HTX"]),
    ("korbit", ["코빗", "Korbit", "コービット"]),
    ("kraken", ["크라켄", "Kraken", "クラーケン"]),
    ("kucoin", ["쿠코인", "KuCoin", "クーコイン"]),
    ("mexc", ["MEXC", "MEXC", "MEXC"]),
    ("okx", ["OKX", "OKX", "OKX"]),
    ("upbit", ["업비트", "Upbit", "アップビット"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_the_leading_consonants() {
        assert_eq!(initials("비트코인 캐시"), "ㅂㅌㅋㅇㅋㅅ");
        assert_eq!(initials("ㅎ 힣 가 Bitcoin"), "ㅎㄱ");
    }
}
