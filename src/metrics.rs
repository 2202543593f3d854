//! What the program counts of itself, for Prometheus, and the listener that serves it.
//!
//! Counting is free of effects until [`start`]: a process without `[metrics] listen` keeps nothing.

use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use metrics::{counter, describe_counter};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Content type of the Prometheus text format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How often what is only needed between two scrapes is thrown away.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

const STREAM_CLOSES: &str = "sisepan_stream_closes_total";
const HTTP_RESPONSES: &str = "sisepan_http_responses_total";

/// Starts counting, for the whole process.
///
/// # Errors
/// If something else already counts in this process.
pub fn start() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().context("starting the metrics")?;
    describe_counter!(
        STREAM_CLOSES,
        "WebSocket streams that ended, by close code and by the side that closed (server or client). Code other: one \
         that RFC 6455 does not define; 1005: none given; 1006: the connection broke."
    );
    describe_counter!(HTTP_RESPONSES, "Answered HTTP requests, by status.");
    Ok(handle)
}

/// Serves `GET /metrics` until `shutdown`.
pub async fn serve(listener: TcpListener, handle: PrometheusHandle, shutdown: CancellationToken) {
    let scraped = handle.clone();
    let scrape = move || {
        let text = scraped.render();
        async move { ([(header::CONTENT_TYPE, TEXT)], text) }
    };
    let routes = Router::new().route("/metrics", get(scrape));
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            handle.run_upkeep();
        }
    };
    tokio::select! {
        _ = axum::serve(listener, routes).into_future() => {}
        () = upkeep => {}
        () = shutdown.cancelled() => {}
    }
}

/// Counts a stream that has ended with `code`.
pub fn stream_closed(code: u16, by_client: bool) {
    // A client may send any of thousands of codes; each would be a series of its own.
    let code = if by_client && !(1000..=1015).contains(&code) { "other".to_owned() } else { code.to_string() };
    counter!(STREAM_CLOSES, "code" => code, "by" => if by_client { "client" } else { "server" }).increment(1);
}

/// Counts a request that was answered with `status`.
pub fn answered(status: StatusCode) {
    counter!(HTTP_RESPONSES, "status" => status.as_str().to_owned()).increment(1);
}
