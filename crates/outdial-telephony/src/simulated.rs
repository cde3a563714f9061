//! The simulated carrier: plays `outdial_core::simulated` in real time, or faster. No telephone is
//! touched. It must never place a call that it could not write down, when it was told to.
//!
//! Its calls die with the process, which is what `Store::attempt_list_orphaned` counts on.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::outcome::CallEnd;
use outdial_core::simulated::{Script, SimulatedCall, SimulatedInput};
use outdial_ports::{CallControl, CallOrder, Carrier, Clock, Entropy, Monotonic, PlacedCall};
use thiserror::Error;
use tokio::sync::{Notify, mpsc};

/// How the simulated carrier is set up.
#[derive(Clone, Debug)]
pub struct SimulatedConfig {
    /// How many times faster than real the carrier's time runs: ringing, talking, its timers and
    /// what it says of waiting (`Retry-After`). The dialer's own delays stay real.
    pub speed: f64,
    /// Append one line for each call placed, `ATTEMPT NUMBER TOKEN`, before anything else happens.
    /// For tests that kill the process: it proves that nobody was called twice. The numbers stand
    /// in it in full.
    pub placed_log: Option<PathBuf>,
}

impl Default for SimulatedConfig {
    fn default() -> Self {
        Self { speed: 1.0, placed_log: None }
    }
}

/// Why there is no simulated carrier.
#[derive(Debug, Error)]
pub enum SimulatedError {
    /// The speed cannot be used.
    #[error("the speed of simulated calls must be between 0.001 and 1000000, not {0}")]
    Speed(f64),
    /// The log of placed calls cannot be opened.
    #[error("cannot open the log of placed calls {path}")]
    Log {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A carrier without telephones. `place` must be called within a tokio runtime.
pub struct SimulatedCarrier {
    speed: f64,
    placed_log: Option<File>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl SimulatedCarrier {
    /// A carrier that goes by `clock` and draws its times from `entropy`.
    pub fn new(
        config: SimulatedConfig,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, SimulatedError> {
        if !(0.001..=1_000_000.0).contains(&config.speed) {
            return Err(SimulatedError::Speed(config.speed));
        }
        let open = |path: PathBuf| {
            File::options()
                .append(true)
                .create(true)
                .open(&path)
                .map_err(|source| SimulatedError::Log { path, source })
        };
        let placed_log = config.placed_log.map(open).transpose()?;
        Ok(Self { speed: config.speed, placed_log, clock, entropy })
    }

    /// One write, so that a line is there whole or not at all, whoever else appends.
    fn write_down(&self, order: &CallOrder) -> io::Result<()> {
        let Some(mut log) = self.placed_log.as_ref() else { return Ok(()) };
        let token = u128::from_be_bytes(order.token);
        let line = format!("{} {} {token:032x}\n", order.attempt, order.callee);
        match log.write(line.as_bytes())? {
            n if n == line.len() => Ok(()),
            n => Err(io::Error::other(format!("only {n} of {} bytes written", line.len()))),
        }
    }
}

impl Carrier for SimulatedCarrier {
    fn place(&self, order: CallOrder) -> PlacedCall {
        let (tell, events) = mpsc::unbounded_channel();
        let hang_up = Arc::new(Notify::new());
        let placed_at = self.clock.monotonic();
        if placed_at >= order.send_by {
            let _ = tell.send(CallEvent::Ended(CallEnd::NotSent { reason: "late" }));
        } else if let Err(error) = self.write_down(&order) {
            tracing::error!(attempt = %order.attempt, %error, "a simulated call was not placed");
            let _ = tell.send(CallEvent::Ended(CallEnd::NotSent { reason: "placed_log" }));
        } else {
            let script = Script::of(order.callee, order.charged_before, self.entropy.next_u64());
            let line = Line {
                call: SimulatedCall::new(script, order.ring_limit, order.talk_limit),
                placed_at,
                speed: self.speed,
                clock: Arc::clone(&self.clock),
                hang_up: Arc::clone(&hang_up),
                tell,
            };
            tokio::spawn(line.run());
        }
        PlacedCall { events: Box::pin(Events(events)), control: Arc::new(Control(hang_up)) }
    }
}

/// A call on its way; goes on whether or not anybody listens.
struct Line {
    call: SimulatedCall,
    placed_at: Monotonic,
    speed: f64,
    clock: Arc<dyn Clock>,
    hang_up: Arc<Notify>,
    tell: mpsc::UnboundedSender<CallEvent>,
}

impl Line {
    async fn run(mut self) {
        while let Some((due, _)) = self.call.deadline() {
            let at = self.placed_at.after(due.div_f64(self.speed));
            let events = tokio::select! {
                biased;
                () = self.hang_up.notified() => {
                    let now = self.clock.monotonic().since(self.placed_at).mul_f64(self.speed);
                    self.call.handle(now, SimulatedInput::Cancel)
                }
                // Reached by definition, whatever rounding says.
                () = self.clock.sleep_until(at) => self.call.handle(due, SimulatedInput::Tick),
            };
            for event in events {
                let _ = self.tell.send(hurried(event, self.speed));
            }
        }
    }
}

/// What the carrier says of waiting is said in its own time.
fn hurried(event: CallEvent, speed: f64) -> CallEvent {
    match event {
        CallEvent::Ended(CallEnd::Refused { status, q850, retry_after }) => {
            let retry_after = retry_after.map(|wait: Duration| wait.div_f64(speed));
            CallEvent::Ended(CallEnd::Refused { status, q850, retry_after })
        }
        other => other,
    }
}

struct Control(Arc<Notify>);

impl CallControl for Control {
    fn cancel(&self) {
        self.0.notify_one();
    }
}

struct Events(mpsc::UnboundedReceiver<CallEvent>);

impl Stream for Events {
    type Item = CallEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<CallEvent>> {
        self.0.poll_recv(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use outdial_core::id::{AttemptId, TrunkId};
    use outdial_core::phone::PhoneNumber;
    use outdial_core::simulated::TIMER_B;
    use outdial_core::time::Timestamp;

    use super::*;

    /// Tokio's paused clock as a port.
    struct TestClock(tokio::time::Instant);

    #[async_trait::async_trait]
    impl Clock for TestClock {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH.after(self.monotonic().0)
        }
        #[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
        fn monotonic(&self) -> Monotonic {
            Monotonic(tokio::time::Instant::now() - self.0)
        }
        async fn sleep_until(&self, at: Monotonic) {
            tokio::time::sleep_until(self.0 + at.0).await;
        }
    }

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the clock of these tests")]
    fn carrier(config: SimulatedConfig) -> (SimulatedCarrier, Arc<TestClock>) {
        let clock = Arc::new(TestClock(tokio::time::Instant::now()));
        let dyn_clock: Arc<dyn Clock> = Arc::clone(&clock) as _;
        (SimulatedCarrier::new(config, dyn_clock, Arc::new(Zeros)).unwrap(), clock)
    }

    fn order(ending: u64) -> CallOrder {
        CallOrder {
            attempt: AttemptId::from_parts(1, ending),
            token: [7; 16],
            trunk: TrunkId::from_parts(1, 1),
            caller: PhoneNumber::from_digits(12_125_550_000),
            callee: PhoneNumber::from_digits(12_125_551_000 + ending),
            charged_before: 0,
            send_by: Monotonic(Duration::from_secs(3600)),
            open_until: Monotonic(Duration::from_secs(3600)),
            ring_limit: Duration::from_secs(45),
            talk_limit: Duration::from_secs(600),
        }
    }

    async fn next(call: &mut PlacedCall) -> Option<CallEvent> {
        poll_fn(|cx| call.events.as_mut().poll_next(cx)).await
    }

    async fn all(call: &mut PlacedCall) -> Vec<CallEvent> {
        let mut events = Vec::new();
        while let Some(event) = next(call).await {
            events.push(event);
        }
        events
    }

    #[tokio::test(start_paused = true)]
    async fn calls_pass_in_the_carriers_time() {
        for speed in [1.0, 100.0] {
            let (carrier, clock) = carrier(SimulatedConfig { speed, placed_log: None });
            let mut call = carrier.place(order(97));
            assert_eq!(all(&mut call).await, [CallEvent::Ended(CallEnd::Silence)]);
            let took = clock.monotonic().0;
            let wanted = TIMER_B.div_f64(speed);
            assert!(took >= wanted && took < wanted + Duration::from_millis(2), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rings_answers_talks() {
        let (carrier, _) = carrier(SimulatedConfig::default());
        let mut call = carrier.place(order(0));
        let over = CallEvent::Ended(CallEnd::TalkOver);
        assert_eq!(all(&mut call).await, [CallEvent::Ringing, CallEvent::Answered, over]);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_in_the_carriers_time() {
        let (carrier, _) = carrier(SimulatedConfig { speed: 10.0, placed_log: None });
        let mut call = carrier.place(order(95));
        let retry_after = Some(Duration::from_millis(100));
        let refused = CallEnd::Refused { status: 503, q850: None, retry_after };
        assert_eq!(all(&mut call).await, [CallEvent::Ended(refused)]);
    }

    #[tokio::test(start_paused = true)]
    async fn cancel_while_ringing_and_when_nobody_listens() {
        let (carrier, clock) = carrier(SimulatedConfig::default());
        let mut call = carrier.place(order(70));
        call.control.cancel();
        call.control.cancel();
        let canceled = CallEvent::Ended(CallEnd::Canceled);
        assert_eq!(all(&mut call).await, [CallEvent::Ringing, canceled]);
        assert!(clock.monotonic().0 < Duration::from_secs(1));

        let call = carrier.place(order(98));
        drop(call.events);
        clock.sleep_until(clock.monotonic().after(Duration::from_secs(50))).await;
        call.control.cancel();
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_leaves_at_send_by() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("placed");
        let config = SimulatedConfig { speed: 1.0, placed_log: Some(log.clone()) };
        let (carrier, clock) = carrier(config);
        clock.sleep_until(Monotonic(Duration::from_secs(5))).await;
        let mut call = carrier.place(CallOrder { send_by: clock.monotonic(), ..order(0) });
        let late = CallEvent::Ended(CallEnd::NotSent { reason: "late" });
        assert_eq!(all(&mut call).await, [late]);
        assert_eq!(std::fs::read_to_string(log).unwrap(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_placed_is_written_down_first() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("placed");
        std::fs::write(&log, "before\n").unwrap();
        let config = SimulatedConfig { speed: 1.0, placed_log: Some(log.clone()) };
        let (carrier, _) = carrier(config);
        let _one = carrier.place(order(0));
        let _two = carrier.place(order(81));
        let token = "07".repeat(16);
        let wanted = format!(
            "before\n000000010000000000000000 12125551000 {token}\n\
             000000010000000000000051 12125551081 {token}\n"
        );
        assert_eq!(std::fs::read_to_string(log).unwrap(), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_cannot_be_written_down_is_not_placed() {
        let (mut carrier, _) = carrier(SimulatedConfig::default());
        // A handle that cannot be written to.
        carrier.placed_log = Some(File::open("/dev/null").unwrap());
        let mut call = carrier.place(order(0));
        let refused = CallEvent::Ended(CallEnd::NotSent { reason: "placed_log" });
        assert_eq!(all(&mut call).await, [refused]);
    }

    #[tokio::test]
    async fn refuses_a_speed_that_is_none() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let config = SimulatedConfig { speed, placed_log: None };
            let clock = Arc::new(carrier(SimulatedConfig::default()).1);
            let made = SimulatedCarrier::new(config, Arc::clone(&*clock) as _, Arc::new(Zeros));
            assert!(matches!(made, Err(SimulatedError::Speed(_))), "{speed}");
        }
    }
}
