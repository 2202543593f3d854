//! Prometheus metrics, and the listener that serves them.
//!
//! Counters do nothing until [`start`] is called: a process without `[metrics] listen` collects no metrics.

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

/// How often the exporter discards data that is needed only between scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

const STREAM_CLOSES: &str = "sisepan_stream_closes_total";
const HTTP_RESPONSES: &str = "sisepan_http_responses_total";

/// Starts collecting metrics, for the whole process.
///
/// # Errors
/// If another metrics recorder is installed in this process.
pub fn start() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().context("starting the metrics")?;
    describe_counter!(
        STREAM_CLOSES,
        "Closed WebSocket streams, by close code and by the side that closed (server or client). Code other: not \
         defined by RFC 6455; 1005: no code given; 1006: connection lost."
    );
    describe_counter!(HTTP_RESPONSES, "HTTP responses sent, by status.");
    Ok(handle)
}

/// Serves `GET /metrics` until `shutdown`.
pub async fn serve(listener: TcpListener, handle: PrometheusHandle, shutdown: CancellationToken) {
    let render_handle = handle.clone();
    let scrape = move || {
        let text = render_handle.render();
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

/// Counts a stream closed with `code`.
pub fn count_stream_close(code: u16, by_client: bool) {
    // A client may send any of thousands of codes, and each would be a separate time series.
    let code = if by_client && !(1000..=1015).contains(&code) { "other".to_owned() } else { code.to_string() };
    counter!(STREAM_CLOSES, "code" => code, "by" => if by_client { "client" } else { "server" }).increment(1);
}

/// Counts a response with `status`.
pub fn count_response(status: StatusCode) {
    counter!(HTTP_RESPONSES, "status" => status.as_str().to_owned()).increment(1);
}
