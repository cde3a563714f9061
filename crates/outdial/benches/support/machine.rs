//! The machine that a benchmark runs on: its clock, its chance, and what a process used of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use outdial_core::time::Timestamp;
use outdial_ports::{Clock, Entropy, Monotonic};

/// The real clock.
pub(crate) struct RealClock(Instant);

impl RealClock {
    /// Counts from here.
    pub(crate) fn new() -> Self {
        Self(now())
    }
}

#[async_trait]
impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "a benchmark runs on the real clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = since.expect("after 1970").as_millis();
        Timestamp::from_millis(i64::try_from(ms).expect("before the end of time"))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.elapsed())
    }

    async fn sleep_until(&self, at: Monotonic) {
        tokio::time::sleep_until((self.0 + at.0).into()).await;
    }
}

/// Distinct bytes; nothing here needs chance.
#[derive(Default)]
pub(crate) struct Weyl(AtomicU64);

impl Entropy for Weyl {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let n = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).to_le_bytes();
            part.copy_from_slice(&n[..part.len()]);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark runs on the real clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// CPU time of a process (`self`, or its id), all threads it has: the first field of
/// /proc/PID/task/TID/schedstat, in nanoseconds (Documentation/scheduler/sched-stats.rst of the
/// kernel).
#[allow(dead_code, reason = "not every benchmark needs it")]
pub(crate) fn cpu_time(process: &str) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    let nanos = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(nanos).sum())
}
