//! What stands before the routes: the check of `Host`, answers from memory, and the path that everything stands under.

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

use super::access::Access;
use super::bodies::{Bodies, Kept};
use super::place::Seat;
use super::{AppState, error, host};
use crate::{failpoint, metrics};

/// Answers the requests of one connection.
#[derive(Debug, Clone)]
pub struct Front {
    app: AppState,
    router: Router,
    seat: Seat,
}

impl Front {
    /// Joins the parts.
    pub fn new(app: AppState, router: Router, seat: Seat) -> Self {
        Self { app, router, seat }
    }
}

impl Service<hyper::Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let access = Access::of(&self.app, &request, self.seat.peer());
        let at_once = |response: Response| {
            answered(&self.app, access.clone(), &response);
            Either::Left(ready(Ok(response)))
        };
        if !host::is_valid(request.version(), request.headers()) {
            return at_once(error::bad_host());
        }
        // Most requests are spelt like one before, so most need neither route nor layer.
        if let Some(response) = self.app.bodies().again(&self.app, &request) {
            return at_once(response);
        }
        let spelling = Bodies::spelling(&request);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.seat.peer()));
        request.extensions_mut().insert(self.seat.clone());
        let (app, router) = (self.app.clone(), self.router.clone());
        Either::Right(Box::pin(async move {
            let answer = async {
                failpoint::is_hit("handler");
                router.oneshot(request).await
            };
            let answer = AssertUnwindSafe(answer).catch_unwind().await;
            let mut response = match answer {
                Ok(response) => response?,
                Err(_) => error::failed().into_response(),
            };
            if let (Some(spelling), Some(kept)) = (spelling, response.extensions_mut().remove::<Kept>()) {
                app.bodies().learn(spelling, kept);
            }
            answered(&app, access, &response);
            Ok(response)
        }))
    }
}

fn answered(app: &AppState, access: Option<Access>, response: &Response) {
    metrics::answered(response.status());
    if let Some(access) = access {
        access.answered(app, response.status());
    }
}

/// Puts all routes under the base path, such as `/prices`.
pub fn under(app: AppState, routes: Router) -> Router {
    if app.base_path().is_empty() {
        return routes;
    }
    Router::new().fallback(move |request: Request| {
        let (app, routes) = (app.clone(), routes.clone());
        async move { below(&app, routes, request).await }
    })
}

async fn below(app: &AppState, routes: Router, mut request: Request) -> Response {
    let path = app.base_path();
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let rest = match target.strip_prefix(path) {
        Some(rest) if rest.starts_with('/') => rest,
        // Links of a page are relative to its folder, so the folder's own page needs the slash.
        Some(rest) if rest.is_empty() || rest.starts_with('?') => {
            let location = format!("{path}/{rest}");
            return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response();
        }
        // A host that has nothing but us is asked for its root first.
        _ if request.uri().path() == "/" => {
            let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
            return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{path}/{query}"))]).into_response();
        }
        _ => return error::nothing_at(app, request.headers(), request.uri(), &format!("{path}/")),
    };
    match rest.parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return error::nothing_at(app, request.headers(), request.uri(), &format!("{path}/")),
    }
    // Its error type has no value.
    routes.oneshot(request).await.into_response()
}
