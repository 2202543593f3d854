//! What is wrong with an exchange, in a reader's words.

use super::{Lang, venue};
use crate::domain::{ReasonCode, VenueHealth, VenueState};

/// Returns the word for the state of the link to a venue.
pub fn venue_state(state: VenueState, lang: Lang) -> &'static str {
    match state {
        VenueState::Connecting => lang.pick("연결 중", "connecting", "接続中"),
        VenueState::Up => lang.pick("정상", "connected", "正常"),
        VenueState::Delayed => lang.pick("지연", "delayed", "遅延"),
        VenueState::Down => lang.pick("연결 끊김", "not reachable", "接続できません"),
    }
}

/// Returns a venue with what is wrong with it, such as `빗썸 연결 끊김: 시간 초과`; its name alone while it is up.
pub fn trouble(health: &VenueHealth, lang: Lang) -> String {
    let name = venue(health.venue, lang);
    let state = venue_state(health.state, lang);
    match (health.state, &health.reason) {
        (VenueState::Up, _) => name.to_owned(),
        // It is reached: what it says is of no use.
        (_, Some(why)) if why.code == ReasonCode::Unbelieved => format!("{name}: {}", reason(why.code, lang)),
        (_, Some(why)) => format!("{name} {state}: {}", reason(why.code, lang)),
        (_, None) => format!("{name} {state}"),
    }
}

/// Returns what went wrong.
pub fn reason(code: ReasonCode, lang: Lang) -> &'static str {
    use ReasonCode as R;
    match code {
        R::Dns => lang.pick("주소를 찾을 수 없음", "its host name is not found", "ホスト名が見つかりません"),
        R::Connect => lang.pick("접속할 수 없음", "no connection", "接続できません"),
        R::Timeout => lang.pick("응답 시간 초과", "no answer in time", "応答がありません"),
        R::TlsRefused => lang.pick("보안 연결 실패", "no secure connection", "安全な接続に失敗"),
        R::Upgrade => lang.pick("스트림 거부됨", "its stream was refused", "ストリームが拒否されました"),
        R::Http => lang.pick("거래소 오류 응답", "it answered with an error", "取引所がエラーを返しました"),
        R::Blocked => lang.pick("이 지역에서 차단됨", "blocked from here", "この地域からは利用できません"),
        R::Retired => lang.pick("종료된 서비스", "its service has ended", "終了したサービス"),
        R::RateLimited => lang.pick("요청 한도 초과", "request limit reached", "リクエスト上限"),
        R::Redirect => lang.pick("다른 주소로 안내됨", "it points elsewhere", "別のアドレスへ転送"),
        R::Payload => lang.pick("응답을 읽을 수 없음", "its answer is unreadable", "応答を読み取れません"),
        R::Refused => lang.pick("거래소가 요청을 거부함", "it refused the request", "取引所が要求を拒否"),
        R::Unanswered => lang.pick("답변에 빠져 있음", "its answer leaves it out", "応答に含まれていません"),
        R::Silent => lang.pick("데이터가 오지 않음", "it sends no data", "データが届きません"),
        R::Closed => lang.pick("연결이 닫힘", "it closed the connection", "接続が閉じられました"),
        R::Unbelieved => {
            lang.pick("믿을 수 있는 시세 없음", "none of its prices can be used", "使える価格がありません")
        }
        R::Unreadable => {
            lang.pick("일부 값을 읽을 수 없음", "some of its figures are unreadable", "一部の値を読み取れません")
        }
        R::Incomplete => lang.pick("일부 종목 누락", "some markets are incomplete", "一部の銘柄が不完全です"),
    }
}

/// Returns every reason: its word in JSON, and what a reader is told.
pub fn reason_word(lang: Lang) -> impl Iterator<Item = (&'static str, &'static str)> {
    ReasonCode::ALL.into_iter().map(move |code| (code.as_str(), reason(code, lang)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_reasons_are_those_of_json() {
        for code in ReasonCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
