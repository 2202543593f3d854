//! Texts for the connection state of an exchange and for the reason of a failure.

use super::{Lang, venue};
use crate::feed::{ReasonCode, VenueHealth, VenueState};

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
    use super::*;

    #[test]
    fn reason_codes_are_written_as_in_json() {
        for code in ReasonCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
