//! What stream clients are told.

use std::collections::HashSet;

use super::request::{self, Request};
use crate::delivery::{Begin, Close, Exchange, Said, Service};
use crate::hub::{Resume, View};
use crate::web::ask::{Ask, Refusal};
use crate::web::place::Place;
use crate::web::{AppState, WeakState, greeting};
use crate::wire::{self, ErrorMessage, Id, Pong, Unsubscribed};

/// The protocol of docs/api.md. Holds the application weakly: delivery threads do not keep it.
#[derive(Debug, Clone)]
pub struct Feed(WeakState);

impl Feed {
    pub fn new(app: &AppState) -> Self {
        Self(app.downgrade())
    }

    /// Returns what says welcome, and subscribes to what the URL asks for, if anything.
    pub fn begin(self, ask: Result<Ask, Refusal>) -> Begin {
        Box::new(move |exchange| {
            let app = self.0.upgrade().ok_or(Close::Shutdown)?;
            exchange.send(&greeting::welcome(&app, app.limits().subscriptions_max));
            let refused = match ask {
                Ok(ask) if ask.board.is_none() && ask.markets.is_none() => return Ok(()),
                Ok(ask) => subscribe(&app, exchange, None, &ask, None),
                Err(refusal) => Err(refusal),
            };
            refused.map_err(|refusal| {
                let close = if refusal.passes() { Close::TooManyGroups } else { Close::BadRequest };
                refuse(exchange, None, refusal);
                close
            })
        })
    }
}

impl Service for Feed {
    fn message(&self, exchange: &mut Exchange<'_>, said: Said<'_>) -> Result<(), Close> {
        let app = self.0.upgrade().ok_or(Close::Shutdown)?;
        let Said::Text(text) = said else { return Err(Close::Binary) };
        let (id, request) = request::read(text);
        match request {
            Ok(Request::Ping) => exchange.send(&wire::json(&Pong { id, server_time: app.clock.now() })),
            Ok(Request::Unsubscribe) => {
                exchange.leave(id.as_ref());
                exchange.send(&wire::json(&Unsubscribed { id }));
            }
            Ok(Request::Subscribe { ask, resume }) => {
                if let Err(refusal) = subscribe(&app, exchange, id.as_ref(), &ask, resume.as_ref()) {
                    refuse(exchange, id, refusal);
                }
            }
            Err(refusal) => refuse(exchange, id, refusal),
        }
        Ok(())
    }

    fn farewell(&self) -> Vec<u8> {
        greeting::closing(self.0.upgrade().as_ref(), "shutdown").0
    }
}

/// Joins the group of what is asked for; a refused request leaves everything as it was.
fn subscribe(
    app: &AppState,
    exchange: &mut Exchange<'_>,
    id: Option<&Id>,
    ask: &Ask,
    resume: Option<&Resume>,
) -> Result<(), Refusal> {
    let (view, interval) = (ask.view(app)?, ask.interval()?);
    check_limits(app, exchange, id, &view)?;
    let is_board = ask.markets.is_none();
    exchange.join(&app.hub, id.cloned(), view, interval, resume, |guard, groups| match guard.downcast_ref::<Place>() {
        Some(place) if !is_board => place.admit_group(app, groups),
        _ => Ok(None),
    })
}

/// Checks what a client would have with one subscription more, or with one replaced.
fn check_limits(app: &AppState, exchange: &Exchange<'_>, id: Option<&Id>, view: &View) -> Result<(), Refusal> {
    let limits = app.limits();
    let others = || exchange.subscriptions().filter(|(other, _)| *other != id);
    let most = limits.subscriptions_max;
    if others().count() >= most {
        let detail = format!("a connection has at most {most} subscriptions");
        return Err(Refusal::new("too-many-subscriptions", "", detail));
    }
    let most = limits.markets_max;
    let rows: HashSet<_> = others().map(|(_, view)| view).chain([view]).flat_map(|view| view.rows.iter()).collect();
    if rows.len() > most {
        let detail =
            format!("the subscriptions would have {} markets together, at most {most} are allowed", rows.len());
        return Err(Refusal::new("too-many-markets", "markets", detail));
    }
    Ok(())
}

fn refuse(exchange: &mut Exchange<'_>, id: Option<Id>, refusal: Refusal) {
    let retryable = refusal.passes();
    let Refusal { code, field, detail: message, .. } = refusal;
    let field = Some(field).filter(|field| !field.is_empty());
    exchange.send(&wire::json(&ErrorMessage { id, code, message, retryable, field }));
}
