//! Log lines, on standard error. Ids always; of phone numbers never more than the last four digits
//! (whoever logs one sees to it).
//!
//! Whoever logs never waits for whoever reads: a thread writes, and what it cannot write in time is
//! dropped, counted, and told of.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry_sdk::trace::SdkTracer;
use serde_json::json;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogConfig, LogFormat};
use crate::traces;

/// Most lines that wait to be written.
const LINES_MAX: usize = 8_192;
/// Most bytes of them.
const BYTES_MAX: usize = 4 << 20;
/// How long the end of the process waits for its last lines to be written.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How often it is looked whether there is something to tell of dropped lines.
const LOOK_EVERY: Duration = Duration::from_secs(1);

static LINES: OnceLock<Lines> = OnceLock::new();

/// Starts logging; once per process.
pub(crate) fn start(config: &LogConfig, tracer: Option<SdkTracer>) -> Result<()> {
    let filter = EnvFilter::try_new(&config.filter)
        .with_context(|| format!("log.filter `{}` is not a filter", config.filter))?;
    let lines = Lines::to(io::stderr(), config.format).context("logging cannot be started")?;
    let writer = LINES.get_or_init(|| lines).clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match config.format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Each of the two sees its own alone.
    let spans = tracer.map(|tracer| {
        let ours = Targets::new().with_target(traces::TARGET, LevelFilter::DEBUG);
        tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours)
    });
    let started =
        tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init();
    started.context("logging cannot be started")
}

/// Waits for what was logged to be written, but not for long: the process is about to end.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(FLUSH_WITHIN);
    }
}

/// Takes lines, and never waits.
#[derive(Clone)]
struct Lines {
    queue: SyncSender<Entry>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// That wait.
    bytes: AtomicUsize,
    /// Since it was told last.
    dropped: AtomicU64,
}

enum Entry {
    Line(Vec<u8>),
    /// All before it is written.
    Flush(SyncSender<()>),
}

impl Lines {
    /// With a thread that writes them there.
    fn to(out: impl Write + Send + 'static, format: LogFormat) -> io::Result<Self> {
        let (queue, entries) = sync_channel(LINES_MAX);
        let state = Arc::<State>::default();
        let writer = Writer { out, format, state: Arc::clone(&state) };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&entries))?;
        Ok(Self { queue, state })
    }

    fn take(&self, line: &[u8]) {
        let waiting = self.state.bytes.fetch_add(line.len(), Ordering::AcqRel);
        let fits = waiting + line.len() <= BYTES_MAX;
        if !fits || self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.state.bytes.fetch_sub(line.len(), Ordering::AcqRel);
            self.state.dropped.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn flush(&self, within: Duration) {
        let (done, flushed) = sync_channel(1);
        // Full: then nobody reads, and there is nothing to wait for.
        if self.queue.try_send(Entry::Flush(done)).is_ok() {
            let _too_late = flushed.recv_timeout(within);
        }
    }
}

/// Each event comes as one write.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The thread that writes; it alone may be stopped by a reader that does not read.
struct Writer<W> {
    out: W,
    format: LogFormat,
    state: Arc<State>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, entries: &Receiver<Entry>) {
        loop {
            match entries.recv_timeout(LOOK_EVERY) {
                Ok(Entry::Line(line)) => {
                    // A reader that went away is no reason to fail.
                    let _gone = self.out.write_all(&line);
                    self.state.bytes.fetch_sub(line.len(), Ordering::AcqRel);
                }
                Ok(Entry::Flush(done)) => {
                    let _gone = self.out.flush();
                    let _nobody_waits = done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tell_dropped();
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = self.state.dropped.swap(0, Ordering::AcqRel);
        if dropped == 0 {
            return;
        }
        let message = "log lines were dropped here: nobody read them in time";
        let line = match self.format {
            LogFormat::Human => format!(" WARN {message} dropped={dropped}\n"),
            LogFormat::Json => {
                format!("{}\n", json!({ "level": "WARN", "message": message, "dropped": dropped }))
            }
        };
        let _gone = self.out.write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A pipe whose reader reads when it is told to.
    #[derive(Clone, Default)]
    struct Pipe {
        blocked: Arc<Mutex<()>>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _let_through = self.blocked.lock().unwrap();
            self.read.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_logs_does_not_wait_for_who_reads_and_what_was_dropped_is_counted() {
        for (line, format) in [
            ("short\n".to_owned(), LogFormat::Human),
            ("x".repeat(BYTES_MAX / 100 - 1) + "\n", LogFormat::Json),
        ] {
            let pipe = Pipe::default();
            let lines = Lines::to(pipe.clone(), format).unwrap();
            let total = 2 * LINES_MAX;
            let blocked = pipe.blocked.lock().unwrap();
            for _ in 0..total {
                lines.take(line.as_bytes());
            }
            lines.flush(Duration::ZERO);
            assert!(pipe.read.lock().unwrap().is_empty());
            assert!(lines.state.bytes.load(Ordering::Acquire) <= BYTES_MAX);
            drop(blocked);

            // Whether or not there was room for the first wish to flush.
            let told = || {
                lines.flush(Duration::from_secs(30));
                let text = String::from_utf8(pipe.read.lock().unwrap().clone()).unwrap();
                let whole = text.lines().filter(|l| *l == line.trim_end()).count();
                let dropped = text.lines().find(|l| l.contains("dropped"))?.to_owned();
                let digits: String = dropped.chars().filter(char::is_ascii_digit).collect();
                Some((whole, digits.parse::<usize>().unwrap()))
            };
            let (mut found, mut tries) = (None, 0);
            while found.is_none_or(|(whole, dropped)| whole + dropped < total) {
                found = told();
                tries += 1;
                assert!(tries < 100_000, "{found:?}");
                std::thread::yield_now();
            }
            let (whole, dropped) = found.unwrap();
            assert_eq!(whole + dropped, total);
            assert!(whole <= LINES_MAX + 1 && dropped > 0);
            lines.take(b"again\n");
            lines.flush(Duration::from_secs(30));
            assert!(pipe.read.lock().unwrap().ends_with(b"again\n"));
        }
    }
}
