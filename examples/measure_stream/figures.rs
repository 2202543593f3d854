//! The results of a pass, and the table of all results.

use std::time::Duration;

/// Results of one pass of a server or of the floor.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// Latency to a client: share of frames in thousandths, and the µs within which that share arrived.
    pub within: [(usize, u32); 3],
    /// CPU time per delivered frame, in ns.
    pub cpu_ns: u64,
    /// CPU time per second with the same clients but without ticks, in ns: the program's background work.
    pub rest_ns: u64,
    /// Delivered frames that contain a tick.
    pub frames: usize,
    /// Delivered frames of all kinds.
    pub messages: usize,
}

impl Pass {
    /// Computes the results from the ages of the frames, the number of messages, and the CPU times.
    pub fn new(mut ages_us: Vec<u32>, messages: usize, cpu: Duration, rest: Duration) -> Self {
        ages_us.sort_unstable();
        let frames = ages_us.len();
        let at = |share: usize| (share, ages_us.get(frames * share / 1000).copied().unwrap_or_default());
        let cpu_ns = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX) / u64::try_from(messages.max(1)).unwrap_or(1);
        let rest_ns = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        Self { within: [at(500), at(990), at(999)], cpu_ns, rest_ns, frames, messages }
    }
}

/// Prints the medians of all passes for each side. The first side is the floor; `expected` is the number of
/// frames that each side should have delivered.
pub fn print(clients: usize, expected: usize, names: &[&str], passes: &[Vec<Pass>]) {
    for row in 0..3 {
        let share = passes.first().and_then(|pass| pass.first()).map_or(0, |pass| pass.within[row].0);
        let name = format!("p{}.{}, µs", share / 10, share % 10);
        line(clients, &name, names, passes, |pass| pass.within[row].1.into());
    }
    line(clients, "CPU of a frame, ns", names, passes, |pass| pass.cpu_ns);
    for (side, server) in names.iter().enumerate() {
        let rest = median(passes.iter().filter_map(|pass| pass.get(side)).map(|pass| pass.rest_ns / 1000));
        println!("{clients:>8}  {:<20}{server:<10}{rest:>10}", "CPU at rest, µs/s");
    }
    let fewest = |side: usize| passes.iter().filter_map(|pass| pass.get(side)).map(|pass| pass.frames).min();
    let fewest: Vec<String> = (0..names.len()).map(|side| fewest(side).unwrap_or_default().to_string()).collect();
    println!("{clients:>8}  frames of {expected:<10} {}   (fewest of a pass)", fewest.join(" "));
    let all = |side: usize| median(passes.iter().filter_map(|pass| pass.get(side)).map(|pass| pass.messages as u64));
    let all: Vec<String> = (0..names.len()).map(|side| all(side).to_string()).collect();
    println!("{clients:>8}  frames of all kinds  {}   (median)", all.join(" "));
}

/// Prints one figure of each side, its median ratio to the floor within a pass, and the range of that ratio.
fn line(clients: usize, name: &str, names: &[&str], passes: &[Vec<Pass>], figure: impl Fn(&Pass) -> u64) {
    for (side, server) in names.iter().enumerate() {
        let of = |side: usize| passes.iter().filter_map(move |pass| pass.get(side)).map(&figure);
        let middle = median(of(side));
        if side == 0 {
            println!("{clients:>8}  {name:<20}{server:<10}{middle:>10}");
            continue;
        }
        let ratios: Vec<u64> = of(side).zip(of(0)).map(|(server, floor)| server * 100 / floor.max(1)).collect();
        let (least, most) = (ratios.iter().min().copied(), ratios.iter().max().copied());
        let range = format!("{} to {}", times(least.unwrap_or_default()), times(most.unwrap_or_default()));
        println!("{clients:>8}  {name:<20}{server:<10}{middle:>10}{:>8}   {range}", times(median(ratios.into_iter())));
    }
}

/// Returns the median.
pub fn median(figures: impl Iterator<Item = u64>) -> u64 {
    let mut figures: Vec<u64> = figures.collect();
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Formats hundredths, such as `1.05`.
pub fn times(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
