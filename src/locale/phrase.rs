//! Phrases of pages and widgets: footnotes, states, headings, sentences about a row, notices of exchanges, and the
//! connection state of an exchange.

use jiff::Timestamp;

use super::{Lang, age, last, name, percent, stamp, stamp_day, venue};
use crate::feed::{ReasonCode, VenueHealth, VenueState};
use crate::market::{BaseSource, Basis, Direction, HaltReason, Market, NoChange, Notice, NoticeKind, Quote, State};

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

/// Returns the short label shown beside a market's name (`유의`, `12.01 거래종료`), or an empty string.
///
/// A suspended market gets no label here: [`mark`] already shows that state.
pub fn notice(quote: &Quote, lang: Lang) -> String {
    if quote.reason == Some(HaltReason::Delisted) {
        return lang.pick("거래지원 종료", "delisted", "取扱終了").to_owned();
    }
    let Some(notice) = &quote.notice else { return String::new() };
    match notice.date {
        Some(date) => {
            let day = date.strftime(lang.pick("%m.%d", "%-d %b", "%m.%d"));
            lang.pick(format!("{day} 거래종료"), format!("delisting {day}"), format!("{day} 取扱終了"))
        }
        None => kind(notice.kind, lang).to_owned(),
    }
}

/// Returns the full notice with the name of the exchange: `업비트: 유의 종목. 주의: 가격 급등락, 거래량 급등.`
pub fn notice_sentence(quote: &Quote, lang: Lang) -> String {
    let halt = quote.reason.map(|reason| match reason {
        HaltReason::Delisted => lang.pick("거래지원 종료", "delisted", "取扱終了").to_owned(),
        HaltReason::Suspended => lang.pick("거래 중단", "trading suspended", "取引停止中").to_owned(),
    });
    let notice = quote.notice.as_deref();
    let parts: Vec<String> = [halt, notice.and_then(|it| headline(it, lang)), notice.and_then(|it| cautions(it, lang))]
        .into_iter()
        .flatten()
        .collect();
    if parts.is_empty() {
        return String::new();
    }
    let (separator, end) = lang.pick((". ", "."), ("; ", "."), ("。", "。"));
    format!("{}: {}{end}", venue(quote.venue, lang), parts.join(separator))
}

/// Returns the main part of a notice: the announced delisting or the warning.
fn headline(notice: &Notice, lang: Lang) -> Option<String> {
    match (notice.kind, notice.date) {
        (NoticeKind::Delisting, Some(date)) => Some(lang.pick(
            format!("{date} 거래지원 종료 예정"),
            format!("to be delisted on {date} (Korean time)"),
            format!("{date} 取扱終了予定"),
        )),
        (NoticeKind::Warning, _) => {
            Some(lang.pick("유의 종목", "under an investment warning", "投資警告の対象").to_owned())
        }
        _ => None,
    }
}

fn cautions(notice: &Notice, lang: Lang) -> Option<String> {
    let names: Vec<&str> = notice.cautions.iter().map(|name| caution(name, lang)).collect();
    let separator = lang.pick(", ", ", ", "、");
    (!names.is_empty()).then(|| format!("{}: {}", kind(NoticeKind::Caution, lang), names.join(separator)))
}

fn kind(kind: NoticeKind, lang: Lang) -> &'static str {
    match kind {
        NoticeKind::Caution => lang.pick("주의", "caution", "注意"),
        NoticeKind::Warning => lang.pick("유의", "warning", "警告"),
        NoticeKind::Delisting => lang.pick("거래지원 종료 예정", "to be delisted", "取扱終了予定"),
    }
}

/// Translates a documented caution code; an unknown code is returned unchanged.
fn caution(name: &str, lang: Lang) -> &str {
    match name {
        "PRICE_FLUCTUATIONS" => lang.pick("가격 급등락", "sharp price moves", "価格の急変動"),
        "TRADING_VOLUME_SOARING" => lang.pick("거래량 급등", "volume surge", "出来高の急増"),
        "DEPOSIT_AMOUNT_SOARING" => lang.pick("입금량 급등", "deposit surge", "入金の急増"),
        "GLOBAL_PRICE_DIFFERENCES" => lang.pick("글로벌 시세와 차이", "price gap to global markets", "海外との価格差"),
        "CONCENTRATION_OF_SMALL_ACCOUNTS" => lang.pick("소수 계정 집중", "few accounts dominate", "少数口座への集中"),
        other => other,
    }
}

/// Returns the text for the connection state of a venue.
pub fn venue_state(state: VenueState, lang: Lang) -> &'static str {
    match state {
        VenueState::Connecting => lang.pick("연결 중", "connecting", "接続中"),
        VenueState::Up => lang.pick("정상", "connected", "正常"),
        VenueState::Delayed => lang.pick("지연", "delayed", "遅延"),
        VenueState::Down => lang.pick("연결 끊김", "unreachable", "接続できません"),
    }
}

/// Returns the name of a venue with its state and the reason, such as `빗썸 연결 끊김: 응답 시간 초과`.
///
/// Returns only the name while the venue is up.
pub fn venue_status(health: &VenueHealth, lang: Lang) -> String {
    let name = venue(health.venue, lang);
    let state = venue_state(health.state, lang);
    match (health.state, &health.reason) {
        (VenueState::Up, _) => name.to_owned(),
        // The venue is reachable, so the state would mislead: its prices are rejected.
        (_, Some(why)) if why.code == ReasonCode::Unbelieved => format!("{name}: {}", reason_text(why.code, lang)),
        (_, Some(why)) => format!("{name} {state}: {}", reason_text(why.code, lang)),
        (_, None) => format!("{name} {state}"),
    }
}

/// Returns the text for a reason code.
pub fn reason_text(code: ReasonCode, lang: Lang) -> &'static str {
    use ReasonCode as R;
    match code {
        R::Dns => lang.pick("주소를 찾을 수 없음", "host name not found (DNS)", "ホスト名が見つかりません"),
        R::Connect => lang.pick("접속 실패", "connection failed", "接続に失敗"),
        R::Timeout => lang.pick("응답 시간 초과", "timed out", "応答がありません"),
        R::TlsRefused => lang.pick("보안 연결 실패", "secure connection failed", "安全な接続に失敗"),
        R::Upgrade => lang.pick("스트림 연결 거부됨", "stream refused", "ストリームが拒否されました"),
        R::Http => lang.pick("거래소 오류 응답", "error response", "取引所がエラーを返しました"),
        R::Blocked => lang.pick("이 서버의 접속이 차단됨", "this server is blocked", "このサーバーは遮断されています"),
        R::Retired => lang.pick("서비스 종료", "service discontinued", "サービス終了"),
        R::RateLimited => lang.pick("요청 한도 초과", "rate limit reached", "リクエスト上限に到達"),
        R::Redirect => lang.pick("다른 주소로 이동됨", "redirected elsewhere", "別のURLに転送されました"),
        R::Payload => lang.pick("응답을 읽을 수 없음", "unreadable response", "応答を読み取れません"),
        R::Refused => lang.pick("거래소가 요청을 거부함", "request refused", "取引所が要求を拒否"),
        R::Unanswered => lang.pick("응답에 포함되지 않음", "missing from the response", "応答に含まれていません"),
        R::Silent => lang.pick("데이터 수신 없음", "no data received", "データが届きません"),
        R::Closed => lang.pick("연결이 종료됨", "connection closed", "接続が閉じられました"),
        R::Unbelieved => lang.pick("신뢰할 수 있는 시세 없음", "no reliable prices", "信頼できる価格がありません"),
        R::Unreadable => lang.pick("일부 값을 읽을 수 없음", "some figures are unreadable", "一部の値を読み取れません"),
        R::Incomplete => lang.pick("일부 종목 데이터 누락", "some markets lack data", "一部の銘柄のデータが不足"),
    }
}

/// Returns every reason code as written in JSON, with its text.
pub fn reason_texts(lang: Lang) -> impl Iterator<Item = (&'static str, &'static str)> {
    ReasonCode::ALL.into_iter().map(move |code| (code.as_str(), reason_text(code, lang)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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

    fn with_notice(notice: Option<Notice>, reason: Option<HaltReason>) -> Quote {
        let state = if reason.is_some() { State::Halted } else { State::Live };
        Quote { state, reason, notice: notice.map(Arc::new), ..quote("BTC-KRW", "1", None) }
    }

    #[test]
    fn fc_11_every_notice_has_a_text_in_every_language() {
        let date = Some("2026-12-01".parse().unwrap());
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let volume = names(&["TRADING_VOLUME_SOARING", "ZZZ_NEW"]);
        let all = |quote: &Quote| Lang::ALL.map(|lang| (notice(quote, lang), notice_sentence(quote, lang)));
        let texts = |pairs: [(&str, &str); 3]| pairs.map(|(short, long)| (short.to_owned(), long.to_owned()));
        assert_eq!(all(&with_notice(None, None)), texts([("", ""), ("", ""), ("", "")]));
        assert_eq!(
            all(&with_notice(Notice::of(false, None, &volume), None)),
            texts([
                ("주의", "빗썸: 주의: 거래량 급등, ZZZ_NEW."),
                ("caution", "Bithumb: caution: volume surge, ZZZ_NEW."),
                ("注意", "ビッサム: 注意: 出来高の急増、ZZZ_NEW。"),
            ])
        );
        assert_eq!(
            all(&with_notice(Notice::of(true, None, &[]), None)),
            texts([
                ("유의", "빗썸: 유의 종목."),
                ("warning", "Bithumb: under an investment warning."),
                ("警告", "ビッサム: 投資警告の対象。"),
            ])
        );
        assert_eq!(
            all(&with_notice(Notice::of(true, date, &volume), None)),
            texts([
                ("12.01 거래종료", "빗썸: 2026-12-01 거래지원 종료 예정. 주의: 거래량 급등, ZZZ_NEW."),
                (
                    "delisting 1 Dec",
                    "Bithumb: to be delisted on 2026-12-01 (Korean time); caution: volume surge, ZZZ_NEW.",
                ),
                ("12.01 取扱終了", "ビッサム: 2026-12-01 取扱終了予定。注意: 出来高の急増、ZZZ_NEW。"),
            ])
        );
        assert_eq!(
            all(&with_notice(None, Some(HaltReason::Delisted))),
            texts([
                ("거래지원 종료", "빗썸: 거래지원 종료."),
                ("delisted", "Bithumb: delisted."),
                ("取扱終了", "ビッサム: 取扱終了。"),
            ])
        );
        let suspended = with_notice(None, Some(HaltReason::Suspended));
        assert_eq!(all(&suspended)[0], (String::new(), "빗썸: 거래 중단.".to_owned()));
    }

    #[test]
    fn reason_codes_are_written_as_in_json() {
        for code in ReasonCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
