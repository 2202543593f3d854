//! The notices about one market, combined from its venue's list of markets and its tickers.

use std::sync::Arc;

use jiff::civil::Date;

use crate::feed::Listing;
use crate::market::{Notice, Ticker};

/// The notices in force.
#[derive(Debug, Default)]
pub struct Notices {
    warning: bool,
    /// What each source last reported about the warning.
    by_list: Option<bool>,
    by_ticker: Option<bool>,
    delisting: Option<Date>,
    cautions: Vec<String>,
    notice: Option<Arc<Notice>>,
}

impl Notices {
    /// Applies a row of the list; values that it does not report stay in effect.
    pub fn apply_listing(&mut self, listing: &Listing) {
        merge_flag(&mut self.warning, &mut self.by_list, listing.warning);
        if let Some(cautions) = &listing.cautions {
            self.cautions.clone_from(cautions);
        }
        self.refresh();
    }

    /// Applies a ticker; values that it does not report stay in effect.
    pub fn apply_ticker(&mut self, ticker: &Ticker) {
        merge_flag(&mut self.warning, &mut self.by_ticker, ticker.warning);
        self.delisting = ticker.delisting.unwrap_or(self.delisting);
        self.refresh();
    }

    /// Returns the notice in force.
    pub fn notice(&self) -> Option<&Arc<Notice>> {
        self.notice.as_ref()
    }

    fn refresh(&mut self) {
        let (warning, delisting, cautions) = (self.warning, self.delisting, &self.cautions);
        let same = self.notice.as_deref().map_or(!warning && delisting.is_none() && cautions.is_empty(), |notice| {
            Notice::of(warning, delisting, cautions).as_ref() == Some(notice)
        });
        if !same {
            self.notice = Notice::of(warning, delisting, cautions).map(Arc::new);
        }
    }
}

/// Merges two sources of one flag: the latest change counts.
///
/// The list is minutes old and the ticker of a quiet market older, so a source that only repeats its value
/// does not override what the other has reported since. The first value of a source can only raise the flag.
fn merge_flag(flag: &mut bool, last: &mut Option<bool>, reported: Option<bool>) {
    let Some(reported) = reported else { return };
    match last.replace(reported) {
        Some(same) if same == reported => {}
        Some(_) => *flag = reported,
        None => *flag |= reported,
    }
}
