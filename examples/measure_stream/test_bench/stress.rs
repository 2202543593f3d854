//! Misbehaving clients among good ones, and all clients reconnecting at the same time.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::Options;
use super::super::crowd::{Behavior, Crowd};
use super::super::figures;
use super::{RATE_MAX, SETTLE, STREAM, Side, TestBench};

/// Time within which misbehaving clients must be disconnected.
const BAD_MAX: Duration = Duration::from_secs(45);

/// Time within which all reconnecting clients must have a current price.
const HERD_MAX: Duration = Duration::from_secs(20);

impl TestBench {
    /// Measures the effect of one misbehaving client in five on the others, and when the server has disconnected
    /// it.
    pub fn measure_bad_clients(&mut self, options: &Options) -> anyhow::Result<()> {
        let mut server = self.start_with_price(0)?;
        let crowd = Crowd::new(server.process.address, STREAM, &self.ticks);
        let (bad, rate) = (options.bad / 20, (options.frames_per_second / options.bad).clamp(1, RATE_MAX));
        let count = rate * 10;
        println!("\n{} clients, of which 10 % never read, 5 % read a byte a second, 5 % answer no ping", options.bad);
        crowd.join(options.bad - 4 * bad, Behavior::Good)?;
        // Good clients in place of the bad ones, so that the total number is always the same.
        let others = Crowd::new(server.process.address, STREAM, &self.ticks);
        others.join(4 * bad, Behavior::Good)?;
        sleep(SETTLE);
        let before = self.run_ticks(rate, count, &mut server, &crowd, Duration::ZERO)?;
        let memory = server.process.pss_kib()?;
        drop(others);
        sleep(SETTLE);
        let others = Crowd::new(server.process.address, STREAM, &self.ticks);
        others.join(2 * bad, Behavior::NeverReads)?;
        others.join(bad, Behavior::Slow)?;
        others.join(bad, Behavior::NoPong)?;
        let joined = Instant::now();
        let with = self.run_ticks(rate, count, &mut server, &crowd, Duration::ZERO)?;
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
        println!("{streams} of {} are left after {BAD_MAX:?}; all bad ones disconnected after {gone:?}", options.bad);
        println!("memory after: {} KiB", server.process.pss_kib()?);
        drop(others);
        Ok(())
    }

    /// Disconnects all clients at once, reconnects them as fast as possible, and waits until all have a current
    /// price; then the same with a server that is killed and restarted.
    pub fn measure_reconnects(&mut self, clients: usize) -> anyhow::Result<()> {
        println!("\n{clients} clients, cut off at once, come back at once");
        let mut server = self.start_with_price(0)?;
        let address = server.process.address;
        let crowd = Crowd::new(address, STREAM, &self.ticks);
        crowd.join(clients, Behavior::Good)?;
        self.tick(&mut server)?;
        sleep(SETTLE);
        drop(crowd);
        let (start, cpu) = (Instant::now(), server.process.cpu()?);
        let crowd = self.reconnect(clients, start, cpu, &mut server)?;
        println!("the server is killed with all of them connected, and started again");
        let start = Instant::now();
        drop(server);
        let mut server = self.start_one_market(0, &address.to_string())?;
        println!("it listens after {:?}", start.elapsed());
        drop(crowd);
        self.reconnect(clients, start, Duration::ZERO, &mut server)?;
        Ok(())
    }

    /// Reconnects all clients and waits until each has a current price.
    fn reconnect(&mut self, clients: usize, start: Instant, cpu: Duration, server: &mut Side) -> anyhow::Result<Crowd> {
        let crowd = Crowd::new(server.process.address, STREAM, &self.ticks);
        crowd.join(clients, Behavior::Good)?;
        let joined = start.elapsed();
        self.tick(server)?;
        let mut current = 0;
        while current < clients && start.elapsed() < HERD_MAX {
            sleep(Duration::from_millis(50));
            current += crowd.take().ages_us.len();
        }
        let cpu = server.process.cpu()?.saturating_sub(cpu);
        println!(
            "all connected after {joined:?}, {} current after {:?}; CPU {cpu:?}",
            current.min(clients),
            start.elapsed()
        );
        Ok(crowd)
    }
}
