//! A set of minutes, stored as ranges.

use std::ops::Range;

use super::Minute;

/// A set of minutes as sorted, disjoint, half-open ranges that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MinuteSet {
    ranges: Vec<Range<Minute>>,
}

impl MinuteSet {
    /// Adds every minute of `range`; an empty range adds nothing.
    pub fn insert(&mut self, range: Range<Minute>) {
        if range.is_empty() {
            return;
        }
        // Merge all ranges that overlap or touch the new one.
        let from = self.ranges.partition_point(|r| r.end < range.start);
        let to = self.ranges.partition_point(|r| r.start <= range.end);
        let merged = match self.ranges.get(from..to) {
            Some([first, .., last]) => first.start.min(range.start)..last.end.max(range.end),
            Some([only]) => only.start.min(range.start)..only.end.max(range.end),
            _ => range,
        };
        self.ranges.splice(from..to, [merged]);
    }

    /// Removes every minute before `minute`.
    pub fn remove_before(&mut self, minute: Minute) {
        self.ranges.retain(|r| r.end > minute);
        if let Some(first) = self.ranges.first_mut() {
            first.start = first.start.max(minute);
        }
    }

    /// Returns the range that contains `minute`.
    pub fn containing(&self, minute: Minute) -> Option<Range<Minute>> {
        let at = self.ranges.partition_point(|r| r.end <= minute);
        self.ranges.get(at).filter(|r| r.contains(&minute)).cloned()
    }

    /// Returns the parts of `span` that are not in the set, oldest first.
    pub fn missing(&self, span: Range<Minute>) -> Vec<Range<Minute>> {
        let mut missing = Vec::new();
        let mut from = span.start;
        for range in &self.ranges {
            if range.end <= from {
                continue;
            }
            if range.start >= span.end {
                break;
            }
            if range.start > from {
                missing.push(from..range.start);
            }
            from = range.end;
        }
        if from < span.end {
            missing.push(from..span.end);
        }
        missing
    }

    /// Returns the ranges, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Range<Minute>> {
        self.ranges.iter()
    }
}
