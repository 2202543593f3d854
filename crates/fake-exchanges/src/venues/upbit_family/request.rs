//! The Upbit family: what the requests have in common: errors, the markets that they name, and their limits.

use crate::json::{Object, RowShape, json_string};
use crate::query::RequestTarget;
use crate::response::FakeResponse;
use crate::simulated_market::{SimulatedMarket, Simulation};

/// Why a request is refused; Bithumb's errors have the same bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpbitError {
    /// The path does not exist.
    UnknownPath,
    /// A market is not listed.
    UnknownMarket,
    /// A parameter is missing.
    MissingParameter,
    /// A parameter is invalid.
    InvalidParameter,
    /// Too many markets in one request.
    TooManyMarkets,
}

impl UpbitError {
    /// Returns the response, with Upbit's status.
    pub fn response(self) -> FakeResponse {
        let (status, name, message) = match self {
            Self::UnknownPath => (404, json_string("not_found"), "no Route matched with those values"),
            Self::UnknownMarket => (404, "404".to_owned(), "Code not found"),
            Self::MissingParameter => {
                (400, "400".to_owned(), "Missing request parameter error. Check the required parameters!")
            }
            Self::InvalidParameter => (400, "400".to_owned(), "Type mismatch error. Check the parameters type!"),
            Self::TooManyMarkets => (400, "400".to_owned(), "Too many markets requested"),
        };
        let error = Object::new().raw("name", name).text("message", message).end();
        FakeResponse::json(status, Object::new().raw("error", error).end())
    }
}

/// Returns the markets of the parameter `markets`, such as `KRW-BTC,krw-eth`; REST accepts lower case.
///
/// # Errors
/// If the parameter is missing or a market is not listed.
pub fn requested_markets<'a>(
    simulation: &'a Simulation,
    venue: &str,
    target: &RequestTarget,
) -> Result<Vec<&'a SimulatedMarket>, UpbitError> {
    let codes = target.get("markets").ok_or(UpbitError::MissingParameter)?;
    let find =
        |code: &str| simulation.by_symbol(venue, &code.trim().to_ascii_uppercase()).ok_or(UpbitError::UnknownMarket);
    codes.split(',').map(find).collect()
}

/// Returns the group whose limit counts a request to a path.
pub fn limit_group(path: &str) -> &'static str {
    let table = [("candle", "candle"), ("orderbook", "orderbook"), ("ticker", "ticker"), ("trades", "trade")];
    table.into_iter().find(|(part, _)| path.contains(part)).map_or("market", |(_, group)| group)
}

/// The group of connections.
pub const CONNECT_GROUP: &str = "websocket-connect";

/// The body of a response to a request beyond a limit.
pub const TOO_MANY_REQUESTS: &str = r#"{"error":{"name":"too_many_requests","message":"Too many API requests."}}"#;

/// Where rows are.
pub const ROWS: RowShape = RowShape { lists: &[], symbols: &["market", "code"], index: 0 };
