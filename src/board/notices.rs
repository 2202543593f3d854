//! What a venue warns of in one market, joined from its list of markets and its tickers.

use std::sync::Arc;

use jiff::civil::Date;

use crate::domain::{Listing, Notice, Ticker};

/// The notices in force.
#[derive(Debug, Default)]
pub struct Notices {
    warning: bool,
    /// What each source said last of the warning.
    by_list: Option<bool>,
    by_ticker: Option<bool>,
    delisting: Option<Date>,
    cautions: Vec<String>,
    notice: Option<Arc<Notice>>,
}

impl Notices {
    /// Takes in a row of the list; what it does not say stands.
    pub fn take_listing(&mut self, listing: &Listing) {
        join(&mut self.warning, &mut self.by_list, listing.warning);
        if let Some(cautions) = &listing.cautions {
            self.cautions.clone_from(cautions);
        }
        self.renew();
    }

    /// Takes in a ticker; what it does not say stands.
    pub fn take_ticker(&mut self, ticker: &Ticker) {
        join(&mut self.warning, &mut self.by_ticker, ticker.warning);
        self.delisting = ticker.delisting.unwrap_or(self.delisting);
        self.renew();
    }

    /// Returns what is in force.
    pub fn notice(&self) -> Option<&Arc<Notice>> {
        self.notice.as_ref()
    }

    fn renew(&mut self) {
        let (warning, delisting, cautions) = (self.warning, self.delisting, &self.cautions);
        let same = self.notice.as_deref().map_or(!warning && delisting.is_none() && cautions.is_empty(), |notice| {
            Notice::of(warning, delisting, cautions).as_ref() == Some(notice)
        });
        if !same {
            self.notice = Notice::of(warning, delisting, cautions).map(Arc::new);
        }
    }
}

/// Joins what two sources say of one flag: the newest change counts.
///
/// The list is minutes old and the ticker of a quiet market older, so a source that only repeats itself does not overrule
/// what the other has said since. What a source says first can only raise the flag.
fn join(flag: &mut bool, before: &mut Option<bool>, said: Option<bool>) {
    let Some(said) = said else { return };
    match before.replace(said) {
        Some(same) if same == said => {}
        Some(_) => *flag = said,
        None => *flag |= said,
    }
}
