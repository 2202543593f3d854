//! Resident memory of the program over time.

use std::fmt;
use std::time::Duration;

/// Time that caches, windows and the allocator need to fill up.
const WARM_UP: Duration = Duration::from_secs(600);

/// The measured memory.
pub struct Memory {
    process: u32,
    began: Option<Duration>,
    /// Seconds since the start, and KiB.
    samples: Vec<(f64, f64)>,
}

impl Memory {
    pub fn new(process: u32) -> Self {
        Self { process, began: None, samples: Vec::new() }
    }

    /// Takes a sample.
    pub fn sample(&mut self, now: Duration) {
        let began = *self.began.get_or_insert(now);
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|text| text.parse().ok());
        self.samples.extend(kib.map(|kib: f64| ((now - began).as_secs_f64(), kib)));
    }

    /// Returns the growth in MiB per hour, by least squares over all samples after the warm-up.
    fn slope(&self) -> Option<f64> {
        let samples: Vec<_> = self.samples.iter().filter(|(at, _)| *at >= WARM_UP.as_secs_f64()).collect();
        let count = samples.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(|sample| of(sample)).sum::<f64>() / count;
        let (at, kib) = (mean(|s| s.0), mean(|s| s.1));
        let spread: f64 = samples.iter().map(|s| (s.0 - at).powi(2)).sum();
        let slope = samples.iter().map(|s| (s.0 - at) * (s.1 - kib)).sum::<f64>() / spread;
        (samples.len() > 60).then_some(slope * 3600.0 / 1024.0)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |sample: Option<&(f64, f64)>| sample.map_or(0.0, |(_, kib)| kib / 1024.0);
        write!(f, "{:.1} MiB at first, {:.1} now", mib(self.samples.first()), mib(self.samples.last()))?;
        match self.slope() {
            Some(slope) => write!(f, ", {slope:+.2} MiB an hour after {} minutes", WARM_UP.as_secs() / 60),
            None => Ok(()),
        }
    }
}
