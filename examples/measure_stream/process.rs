//! The measured processes: pinned to their own core if possible, killed when dropped.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

/// CPU core for the measured process.
const CORE_MEASURED: &str = "0";

/// CPU core for this program.
const CORE_MEASURING: &str = "1";

/// A child process that prints its listen address on its first line.
pub struct Process {
    child: Child,
    /// The address that it listens on.
    pub address: SocketAddr,
}

/// Pins this process to its core if there are at least two; returns whether measured processes can be pinned to
/// the other.
pub fn pin_to_core() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pid = std::process::id().to_string();
    cores > 1 && taskset(&["-a", "-c", "-p", CORE_MEASURED, &pid]) && taskset(&["-a", "-c", "-p", CORE_MEASURING, &pid])
}

fn taskset(arguments: &[&str]) -> bool {
    let status = Command::new("taskset").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

impl Process {
    /// Starts a program and waits for its address.
    ///
    /// `input` becomes its whole standard input; if `None`, standard input stays open for [`Process::feed`].
    pub fn start(program: &str, arguments: &[&str], input: Option<&str>, pinned: bool) -> anyhow::Result<Self> {
        let mut command = Command::new(if pinned { "taskset" } else { program });
        if pinned {
            // taskset executes the program in place, so the process id stays the same.
            command.args(["-c", CORE_MEASURED, program]);
        }
        command.args(arguments).env("RUST_LOG", "error").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
        let mut line = String::new();
        if let Some(input) = input {
            let mut stdin = child.stdin.take().context("the child has no input")?;
            stdin.write_all(input.as_bytes()).context("writing to the child")?;
        }
        let out = child.stdout.take().context("the child has no output")?;
        let mut process = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        BufReader::new(out).read_line(&mut line).context("reading the child's address")?;
        let address = line.trim().rsplit('/').next().unwrap_or_default();
        process.address =
            address.parse().with_context(|| format!("{program} printed {line:?} instead of its address"))?;
        Ok(process)
    }

    /// Writes a frame to its standard input, with its length in front.
    pub fn feed(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("the child takes no more input")?;
        let mut text = u16::try_from(frame.len())?.to_be_bytes().to_vec();
        text.extend_from_slice(frame);
        stdin.write_all(&text).context("writing to the child")
    }

    /// Returns its memory in KiB as PSS: shared pages count in proportion.
    pub fn pss_kib(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("smaps_rollup has no Pss")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Returns the number of established client connections.
    pub fn sockets(&self) -> anyhow::Result<usize> {
        // 127.0.0.1; a client may have the same port at another address.
        let local = format!("0100007F:{:04X}", self.address.port());
        let table = fs::read_to_string("/proc/net/tcp").context("reading /proc/net/tcp")?;
        // Local address, remote address, and the state: 01 is ESTABLISHED.
        let words = table.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>());
        let is_established =
            |words: &Vec<&str>| words.first().is_some_and(|at| **at == local) && words.get(2) == Some(&"01");
        Ok(words.filter(is_established).count())
    }

    /// Returns the user and kernel CPU time of its live threads.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let path = format!("/proc/{}/task", self.child.id());
        let mut nanos = 0;
        for task in fs::read_dir(&path).with_context(|| format!("reading {path}"))? {
            // The thread may have ended in the meantime.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            nanos += text.split_whitespace().next().context("schedstat is empty")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
