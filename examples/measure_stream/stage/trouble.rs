//! Bad clients among good ones, and all of them back at once.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::Options;
use super::super::crowd::{Crowd, Manner};
use super::super::figures;
use super::{RATE_MAX, SETTLE, STREAM, Side, Stage};

/// In what time bad clients must be gone.
const BAD_MAX: Duration = Duration::from_secs(45);

/// In what time a herd must be right again.
const HERD_MAX: Duration = Duration::from_secs(20);

impl Stage {
    /// Measures what one bad client in five does to the others, and when they are gone.
    pub fn bad(&mut self, options: &Options) -> anyhow::Result<()> {
        let mut server = self.server(0)?;
        let crowd = Crowd::new(server.process.address, STREAM, &self.ticks);
        let (bad, rate) = (options.bad / 20, (options.frames_per_second / options.bad).clamp(1, RATE_MAX));
        let count = rate * 10;
        println!("\n{} clients, of which 10 % never read, 5 % read a byte a second, 5 % answer no ping", options.bad);
        crowd.join(options.bad - 4 * bad, Manner::Good)?;
        // As many as the bad ones, so that there are always as many in all.
        let others = Crowd::new(server.process.address, STREAM, &self.ticks);
        others.join(4 * bad, Manner::Good)?;
        sleep(SETTLE);
        let before = self.ticked(rate, count, &mut server, &crowd, Duration::ZERO)?;
        let memory = server.process.pss_kib()?;
        drop(others);
        sleep(SETTLE);
        let others = Crowd::new(server.process.address, STREAM, &self.ticks);
        others.join(2 * bad, Manner::Mute)?;
        others.join(bad, Manner::Slow)?;
        others.join(bad, Manner::Rude)?;
        let joined = Instant::now();
        let with = self.ticked(rate, count, &mut server, &crowd, Duration::ZERO)?;
        println!("memory: {memory} KiB without the bad ones, {} KiB with them", server.process.pss_kib()?);
        for (row, name) in ["p50", "p99", "p99.9"].into_iter().enumerate() {
            let (before, with) = (before.within[row].1, with.within[row].1);
            let ratio = u64::from(with) * 100 / u64::from(before.max(1));
            println!("{name}: {before} µs without, {with} µs with them, {}", figures::times(ratio));
        }
        let mut gone = None;
        while joined.elapsed() < BAD_MAX + SETTLE {
            self.tick(&mut server)?;
            sleep(Duration::from_millis(500));
            let streams = server.process.sockets()?;
            if gone.is_none() && streams <= options.bad - 4 * bad {
                gone = Some(joined.elapsed());
            }
        }
        let streams = server.process.sockets()?;
        println!("{streams} of {} are left after {BAD_MAX:?}; all bad ones gone after {gone:?}", options.bad);
        println!("memory after: {} KiB", server.process.pss_kib()?);
        drop(others);
        Ok(())
    }

    /// Cuts clients off at once, has them come back as fast as they can, and waits until all are right again; then the
    /// same with a server that is killed and started again.
    pub fn herd(&mut self, clients: usize) -> anyhow::Result<()> {
        println!("\n{clients} clients, cut off at once, come back at once");
        let mut server = self.server(0)?;
        let address = server.process.address;
        let crowd = Crowd::new(address, STREAM, &self.ticks);
        crowd.join(clients, Manner::Good)?;
        self.tick(&mut server)?;
        sleep(SETTLE);
        drop(crowd);
        let (start, cpu) = (Instant::now(), server.process.cpu()?);
        let crowd = self.come_back(clients, start, cpu, &mut server)?;
        println!("the server is killed with all of them connected, and started again");
        let start = Instant::now();
        drop(server);
        let mut server = self.open(0, &address.to_string())?;
        println!("it listens after {:?}", start.elapsed());
        drop(crowd);
        self.come_back(clients, start, Duration::ZERO, &mut server)?;
        Ok(())
    }

    /// Has all join and waits until they are right.
    fn come_back(&mut self, clients: usize, start: Instant, cpu: Duration, server: &mut Side) -> anyhow::Result<Crowd> {
        let crowd = Crowd::new(server.process.address, STREAM, &self.ticks);
        crowd.join(clients, Manner::Good)?;
        let joined = start.elapsed();
        self.tick(server)?;
        let mut right = 0;
        while right < clients && start.elapsed() < HERD_MAX {
            sleep(Duration::from_millis(50));
            right += crowd.take().ages_us.len();
        }
        let cpu = server.process.cpu()?.saturating_sub(cpu);
        println!(
            "all connected after {joined:?}, {} right after {:?}; CPU {cpu:?}",
            right.min(clients),
            start.elapsed()
        );
        Ok(crowd)
    }
}
