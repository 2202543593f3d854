//! Fixed phrases of pages and widgets: footnotes, states, headings, and sentences about a row.

use jiff::Timestamp;

use super::{Lang, age, last, name, percent, stamp, stamp_day, venue};
use crate::market::{BaseSource, Basis, Direction, Market, NoChange, Quote, State};

/// Returns the footnote that names the basis of all changes of a board.
pub fn footnote(basis: Basis, lang: Lang) -> &'static str {
    match basis {
        Basis::Rolling24h => lang.pick("* 24시간 변동률 기준", "* Change over 24 hours", "* 24時間の変動率"),
        Basis::UtcDay => lang.pick(
            "* 오전 9시(한국시간) 대비 변동률 기준",
            "* Change since 00:00 UTC",
            "* 午前9時(日本時間)からの変動率",
        ),
        Basis::KstDay => lang.pick(
            "* 0시(한국시간) 대비 변동률 기준",
            "* Change since 00:00 KST (15:00 UTC)",
            "* 午前0時(日本時間)からの変動率",
        ),
    }
}

/// Returns the basis in brackets, to follow a change in running text.
pub fn basis_in_brackets(basis: Basis, lang: Lang) -> &'static str {
    match basis {
        Basis::Rolling24h => lang.pick("(24시간)", "(24 h)", "(24時間)"),
        Basis::UtcDay => lang.pick("(오전 9시 대비)", "(since 00:00 UTC)", "(午前9時から)"),
        Basis::KstDay => lang.pick("(0시 대비)", "(since 00:00 KST)", "(午前0時から)"),
    }
}

/// Returns why a row has no change; empty if it has one, or if it has no price and was not listed again.
pub fn no_change(quote: &Quote, basis: Basis, lang: Lang) -> String {
    let Some(why) = quote.no_change(basis) else { return String::new() };
    let why = match why {
        NoChange::Awaited => lang.pick("기준 가격 확인 중", "base price not known yet", "基準価格を確認中"),
        NoChange::NoHistory => lang.pick(
            "거래소의 과거 시세를 불러올 수 없음",
            "the exchange's price history is unavailable",
            "取引所の過去の価格を取得できません",
        ),
        NoChange::NewListing => {
            lang.pick("기준 시각 이후에 상장", "listed after the base time", "基準時刻より後に上場")
        }
        NoChange::NoEarlierTrade => {
            lang.pick("기준 시각 이전의 거래 없음", "no trade before the base time", "基準時刻より前の取引なし")
        }
        NoChange::Rescaled => lang.pick(
            "가격 단위가 바뀐 것으로 보임",
            "the price unit seems to have changed",
            "価格の単位が変わった可能性",
        ),
        NoChange::TooWide => lang.pick("값이 너무 큼", "too large to calculate", "値が大きすぎます"),
        NoChange::Returned => lang.pick(
            "재상장 후 첫 거래 대기 중",
            "relisted, waiting for the first trade",
            "再上場後の最初の取引を待機中",
        ),
    };
    format!("{}: {why}", lang.pick("변동률 표시 불가", "Change unavailable", "変動率を表示できません"))
}

/// Returns a note on where the base price comes from; empty for a base of our own window.
pub fn base_source(source: BaseSource, lang: Lang) -> &'static str {
    match source {
        BaseSource::Window => "",
        BaseSource::Venue => lang.pick("거래소 제공", "from the exchange", "取引所提供"),
    }
}

/// Returns a note on how high and low are computed; empty if they cover every trade.
pub fn range_source(source: BaseSource, lang: Lang) -> &'static str {
    match source {
        BaseSource::Window => lang.pick("(1분 종가 기준)", "(from minute closes)", "(1分終値ベース)"),
        BaseSource::Venue => "",
    }
}

/// Returns the text for a direction.
pub fn direction(direction: Direction, lang: Lang) -> &'static str {
    match direction {
        Direction::Rise => lang.pick("상승", "up", "上昇"),
        Direction::Even => lang.pick("보합", "unchanged", "変わらず"),
        Direction::Fall => lang.pick("하락", "down", "下落"),
    }
}

/// Returns the text for a state.
pub fn state(state: State, lang: Lang) -> &'static str {
    match state {
        State::Live => lang.pick("실시간", "live", "リアルタイム"),
        State::Delayed => lang.pick("지연", "delayed", "遅延"),
        State::Stale => lang.pick("갱신 중단", "not updated", "更新停止"),
        State::Halted => lang.pick("거래 중단", "halted", "取引停止"),
        State::Unknown => lang.pick("시세 없음", "no price yet", "価格なし"),
    }
}

/// Returns the mark shown beside a name: the fallback venue and the state, as far as they apply.
///
/// Empty for a live row of the preferred venue. A stale row shows its age instead of the state.
pub fn mark(quote: &Quote, now: Timestamp, lang: Lang) -> String {
    let state = match (quote.state, quote.confirmed_at.or(quote.received_at)) {
        (State::Live, _) => None,
        (State::Stale, Some(at)) => Some(age(at, now, lang)),
        (other, _) => Some(state(other, lang).to_owned()),
    };
    let from = quote.fallback.then(|| venue(quote.venue, lang).to_owned());
    from.into_iter().chain(state).collect::<Vec<_>>().join(" · ")
}

/// Returns the time of the figures and whether the market is open: `11.25 10:15 기준`, `01.15 장종료`.
///
/// `best` is the best state of any row. Only a halted market is called closed; a silent feed is called stale.
pub fn as_of_caption(best: State, at: Option<Timestamp>, lang: Lang) -> String {
    let Some(at) = at else { return state(State::Unknown, lang).to_owned() };
    let (time, day) = (stamp(at, lang), stamp_day(at, lang));
    match best {
        State::Live | State::Delayed => {
            lang.pick(format!("{time} 기준"), format!("as of {time}"), format!("{time} 時点"))
        }
        State::Halted => lang.pick(format!("{day} 장종료"), format!("{day}, market closed"), format!("{day} 取引終了")),
        State::Stale | State::Unknown => format!("{time} {}", state(best, lang)),
    }
}

/// Returns the name of a quote currency: `원`.
pub fn unit(quote: &str, lang: Lang) -> &str {
    match (quote, lang) {
        ("KRW", Lang::Ko) => "원",
        ("KRW", Lang::Ja) => "ウォン",
        ("JPY", Lang::Ko) => "엔",
        ("JPY", Lang::Ja) => "円",
        ("USD", Lang::Ko) => "달러",
        ("USD", Lang::Ja) => "ドル",
        _ => quote,
    }
}

/// Returns the heading of the price column, with the quote currency if all `markets` share it.
pub fn price_column(markets: &[Market], lang: Lang) -> String {
    let heading = lang.pick("현재가", "Price", "現在値");
    match markets.split_first() {
        Some((first, rest)) if rest.iter().all(|market| market.quote() == first.quote()) => {
            let unit = unit(first.quote(), lang);
            lang.pick(format!("{heading}({unit})"), format!("{heading} ({unit})"), format!("{heading}({unit})"))
        }
        _ => heading.to_owned(),
    }
}

/// Returns a row as a sentence: `비트코인 142,187,000원 2.08% 상승`.
pub fn sentence(quote: &Quote, basis: Basis, lang: Lang) -> String {
    let (name, last) = (name(quote, lang), last(quote, lang));
    if quote.last.is_none() {
        return format!("{name} {}", state(quote.state, lang));
    }
    let unit = unit(quote.market.quote(), lang);
    let price =
        lang.pick(format!("{name} {last}{unit}"), format!("{name} {last} {unit}"), format!("{name} {last}{unit}"));
    let Some(change) = quote.change(basis) else { return price };
    let (percent, word) = (percent(&change), direction(change.direction, lang));
    match (change.direction, lang) {
        (Direction::Even, _) => format!("{price} {word}"),
        (_, Lang::Ko | Lang::Ja) => format!("{price} {percent} {word}"),
        (_, Lang::En) => format!("{price} {word} {percent}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::quote;
    use super::*;

    #[test]
    fn a_sentence_reads_like_one() {
        let btc = quote("BTC-KRW", "142187000", Some("139290000"));
        assert_eq!(sentence(&btc, Basis::Rolling24h, Lang::Ko), "비트코인 142,187,000원 2.08% 상승");
        assert_eq!(sentence(&btc, Basis::Rolling24h, Lang::En), "Bitcoin 142,187,000 KRW up 2.08%");
        assert_eq!(sentence(&btc, Basis::UtcDay, Lang::Ko), "비트코인 142,187,000원");
        let even = quote("XRP-KRW", "3104", Some("3104"));
        assert_eq!(sentence(&even, Basis::Rolling24h, Lang::Ko), "리플 3,104원 보합");
    }

    #[test]
    fn a_footnote_names_only_its_own_basis() {
        for lang in Lang::ALL {
            let notes = Basis::ALL.map(|basis| footnote(basis, lang));
            assert!(notes[0].contains("24") && !notes[1].contains("24") && !notes[2].contains("24"), "{notes:?}");
            assert_ne!(notes[1], notes[2]);
        }
        assert_eq!(footnote(Basis::Rolling24h, Lang::Ko), "* 24시간 변동률 기준");
    }

    #[test]
    fn the_heading_names_the_unit_only_if_all_markets_share_it() {
        let markets = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Market>>();
        assert_eq!(price_column(&markets(&["BTC-KRW", "ETH-KRW"]), Lang::Ko), "현재가(원)");
        assert_eq!(price_column(&markets(&["BTC-USDT"]), Lang::En), "Price (USDT)");
        assert_eq!(price_column(&markets(&["BTC-KRW", "BTC-USDT"]), Lang::Ko), "현재가");
        assert_eq!(price_column(&[], Lang::Ja), "現在値");
    }

    #[test]
    fn a_caption_names_the_time_and_whether_the_market_is_open() {
        let at = Some("2026-01-15T06:27:12Z".parse().unwrap());
        let all = |state| Lang::ALL.map(|lang| as_of_caption(state, at, lang));
        assert_eq!(all(State::Live), ["01.15 15:27 기준", "as of 15 Jan 06:27 UTC", "01.15 15:27 時点"]);
        assert_eq!(all(State::Halted), ["01.15 장종료", "15 Jan, market closed", "01.15 取引終了"]);
        assert_eq!(all(State::Stale)[0], "01.15 15:27 갱신 중단");
        assert_eq!(as_of_caption(State::Unknown, None, Lang::Ko), "시세 없음");
    }

    #[test]
    fn a_mark_shows_state_and_fallback_venue() {
        let now: Timestamp = "2026-01-15T06:27:12Z".parse().unwrap();
        let mut row = quote("BTC-KRW", "1", None);
        assert_eq!(mark(&row, now, Lang::Ko), "");
        row.state = State::Delayed;
        assert_eq!(mark(&row, now, Lang::Ko), "지연");
        row.state = State::Stale;
        assert_eq!(mark(&row, now, Lang::Ko), "12초 전");
        row.fallback = true;
        assert_eq!(mark(&row, now, Lang::Ko), "빗썸 · 12초 전");
        row.state = State::Live;
        assert_eq!(mark(&row, now, Lang::En), "Bithumb");
    }
}
