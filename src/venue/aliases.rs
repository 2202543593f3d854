//! An exchange's own names of assets.

/// Pairs of an exchange's name of an asset and ours, where they differ.
pub(super) struct Aliases(pub &'static [(&'static str, &'static str)]);

impl Aliases {
    /// Returns the exchange's name of an asset; one that can't exist if the exchange has given its name to another
    /// asset.
    pub(super) fn own(&self, asset: &str) -> String {
        if let Some((own, _)) = self.0.iter().find(|(_, ours)| *ours == asset) {
            return (*own).to_owned();
        }
        let is_taken = self.0.iter().any(|(own, _)| *own == asset);
        format!("{}{asset}", if is_taken { "?" } else { "" })
    }

    /// Returns our name of an asset.
    pub(super) fn ours<'a>(&self, own: &'a str) -> &'a str {
        self.0.iter().find(|(theirs, _)| *theirs == own).map_or(own, |(_, ours)| ours)
    }
}
