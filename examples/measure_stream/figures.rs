//! What comes of a pass, and the table of all of them.

use std::time::Duration;

/// One pass of a server or of the floor.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// Time to a client: the share of frames in thousandths, and the µs within which they came.
    pub within: [(usize, u32); 3],
    /// CPU of a delivered frame, in ns.
    pub cpu_ns: u64,
    /// Frames delivered.
    pub frames: usize,
}

impl Pass {
    /// Works out the figures of frames of these ages, for this much CPU.
    pub fn new(mut ages_us: Vec<u32>, cpu: Duration) -> Self {
        ages_us.sort_unstable();
        let frames = ages_us.len();
        let at = |share: usize| (share, ages_us.get(frames * share / 1000).copied().unwrap_or_default());
        let cpu_ns = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX) / u64::try_from(frames.max(1)).unwrap_or(1);
        Self { within: [at(500), at(990), at(999)], cpu_ns, frames }
    }
}

/// Prints the medians of all passes with so many clients; `wanted` is how many frames each should have delivered.
pub fn print(clients: usize, wanted: usize, passes: &[(Pass, Pass)]) {
    for row in 0..3 {
        let share = passes.first().map_or(0, |(server, _)| server.within[row].0);
        let name = format!("p{}.{}, µs", share / 10, share % 10);
        line(clients, &name, passes.iter().map(|(a, b)| (a.within[row].1.into(), b.within[row].1.into())));
    }
    if passes.iter().all(|(_, floor)| floor.frames >= 10_000) {
        line(clients, "CPU of a frame, ns", passes.iter().map(|(a, b)| (a.cpu_ns, b.cpu_ns)));
    }
    let fewest = |frames: &mut dyn Iterator<Item = usize>| frames.min().unwrap_or_default();
    let server = fewest(&mut passes.iter().map(|(server, _)| server.frames));
    let floor = fewest(&mut passes.iter().map(|(_, floor)| floor.frames));
    println!("{clients:>8}  frames of {wanted:<12}{server:>10}{floor:>10}   (fewest of a pass)");
}

fn line(clients: usize, name: &str, pairs: impl Iterator<Item = (u64, u64)>) {
    let pairs: Vec<(u64, u64)> = pairs.collect();
    let ratios: Vec<u64> = pairs.iter().map(|(server, floor)| server * 100 / (*floor).max(1)).collect();
    let server = median(pairs.iter().map(|pair| pair.0));
    let floor = median(pairs.iter().map(|pair| pair.1));
    let (ratio, least) = (median(ratios.iter().copied()), ratios.iter().min().copied().unwrap_or_default());
    let most = ratios.iter().max().copied().unwrap_or_default();
    let range = format!("{} to {}", times(least), times(most));
    println!("{clients:>8}  {name:<22}{server:>10}{floor:>10}{:>8}   {range}", times(ratio));
}

fn median(figures: impl Iterator<Item = u64>) -> u64 {
    let mut figures: Vec<u64> = figures.collect();
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Hundredths as text.
fn times(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
