//! Request handling before routing: `Host` validation, cached responses, and the base path.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, Ready, ready};
use hyper::body::Incoming;
use hyper::service::Service;
use tower::ServiceExt as _;

use super::access::AccessRecord;
use super::admission::ConnectionPermit;
use super::response_cache::{CacheHit, ResponseCache};
use super::{AppState, error, host};
use crate::{failpoint, metrics};

/// Service that answers the requests of one connection.
#[derive(Debug, Clone)]
pub struct ConnectionService {
    app: AppState,
    router: Router,
    permit: ConnectionPermit,
}

impl ConnectionService {
    /// Creates the service of a connection.
    pub fn new(app: AppState, router: Router, permit: ConnectionPermit) -> Self {
        Self { app, router, permit }
    }
}

impl Service<hyper::Request<Incoming>> for ConnectionService {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let access = AccessRecord::new(&self.app, &request, self.permit.peer());
        let respond = |response: Response| {
            record(&self.app, access.clone(), &response);
            Either::Left(ready(Ok(response)))
        };
        if !host::is_valid(request.version(), request.headers()) {
            return respond(error::bad_host());
        }
        // Most requests repeat an earlier one exactly, so most skip routing and middleware.
        if let Some(response) = self.app.response_cache().lookup(&self.app, &request) {
            return respond(response);
        }
        let request_key = ResponseCache::request_key(&request);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.permit.peer()));
        request.extensions_mut().insert(self.permit.clone());
        let (app, router) = (self.app.clone(), self.router.clone());
        Either::Right(Box::pin(async move {
            let response = async {
                failpoint::is_hit("handler");
                router.oneshot(request).await
            };
            let response = AssertUnwindSafe(response).catch_unwind().await;
            let mut response = match response {
                Ok(response) => response?,
                Err(_) => error::handler_panicked().into_response(),
            };
            if let (Some(request_key), Some(hit)) = (request_key, response.extensions_mut().remove::<CacheHit>()) {
                app.response_cache().record(request_key, hit);
            }
            record(&app, access, &response);
            Ok(response)
        }))
    }
}

/// Counts and logs a response.
fn record(app: &AppState, access: Option<AccessRecord>, response: &Response) {
    metrics::count_response(response.status());
    if let Some(access) = access {
        access.log(app, response.status());
    }
}

/// Nests all routes under the base path, such as `/prices`.
pub fn nest_under_base(app: AppState, routes: Router) -> Router {
    if app.base_path().is_empty() {
        return routes;
    }
    Router::new().fallback(move |request: Request| {
        let (app, routes) = (app.clone(), routes.clone());
        async move { route_below_base(&app, routes, request).await }
    })
}

async fn route_below_base(app: &AppState, routes: Router, mut request: Request) -> Response {
    let base = app.base_path();
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = match target.strip_prefix(base) {
        Some(rest) if rest.starts_with('/') => rest,
        // Links of a page are relative to its folder, so the base path needs its trailing slash.
        Some(rest) if rest.is_empty() || rest.starts_with('?') => {
            let location = format!("{base}/{rest}");
            return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response();
        }
        // Users of a host that serves only sisepan open its root first.
        _ if request.uri().path() == "/" => {
            let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{base}/{query}"))]).into_response();
        }
        _ => return error::not_found(app, request.headers(), request.uri(), &format!("{base}/")),
    };
    match rest.parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return error::not_found(app, request.headers(), request.uri(), &format!("{base}/")),
    }
    // The router's error type is `Infallible`.
    routes.oneshot(request).await.into_response()
}
