//! Texts for exchange notices: cautions, warnings, halts and delistings.

use super::{Lang, venue};
use crate::market::{HaltReason, Notice, NoticeKind, Quote};

/// Returns the short label shown beside a market's name (`유의`, `12.01 거래종료`), or an empty string.
///
/// A suspended market gets no label here: [`mark`](super::mark) already shows that state.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests_support::quote;
    use super::*;
    use crate::market::State;

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
}
