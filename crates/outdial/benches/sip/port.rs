//! Calls at the port of the carrier: placed at a rate, whatever becomes of those before.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::attempt::CallEvent;
use outdial_core::dispatcher::LineLimits;
use outdial_core::id::{AttemptId, TrunkId, WorkspaceId};
use outdial_core::outcome::CallEnd;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::{Integration, TrunkHealth, TrunkRecord};
use outdial_ports::{CallOrder, Carrier, Clock, PlacedCall};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::Placed;
use crate::carrier::{Brief, trunk_to};
use crate::machine::{RealClock, cpu_time, now};
use crate::sipp::Callee;

/// An INVITE leaves within this, as the engine's do.
const SEND_WITHIN: Duration = Duration::from_secs(1);
/// So many calls stand at once while it is measured what one takes, and they come at this rate.
const HELD: u64 = 500;
const HELD_RATE: u64 = 250;
/// Calls that go before.
const WARM_UP: u64 = 50;
/// So many are over after that, and still remembered.
const OVER: u64 = 3_000;
const OVER_RATE: u64 = 300;
/// How long CPU of calls that stand is counted.
const STAND: Duration = Duration::from_secs(2);

/// What a call takes.
pub(crate) struct Taken {
    /// Memory of a call that stands, KiB.
    pub(crate) live_kib: f64,
    /// CPU of a call that stands, its sound going out, in milliseconds per second.
    pub(crate) live_cpu_ms: f64,
    /// Memory of one that is over, KiB.
    pub(crate) over_kib: f64,
}

/// A carrier with a trunk to a callee.
pub(crate) struct Port {
    carrier: Arc<Brief>,
    clock: Arc<RealClock>,
    trunk: TrunkId,
    attempts: u64,
}

impl Port {
    /// Opens it.
    pub(crate) async fn open(callee: &Callee) -> Self {
        let clock = Arc::new(RealClock::new());
        let (carrier, trunk) = (Arc::new(Brief::new(&clock)), TrunkId::from_parts(1, 1));
        carrier.set_trunks(vec![TrunkRecord {
            id: trunk,
            workspace: WorkspaceId::from_parts(1, 1),
            integration: Integration::Sip,
            spec: Some(trunk_to(callee.addr, LineLimits::default())),
            limits: LineLimits::default(),
            paused_until: None,
            health: TrunkHealth::default(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        }]);
        let until = now() + SEND_WITHIN;
        while !carrier.is_open() {
            assert!(now() < until, "no socket: {:?}", carrier.trunk_health());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Self { carrier, clock, trunk, attempts: 0 }
    }

    /// Places so many calls at so many a second, and waits for their ends; cut off after `limit`.
    pub(crate) async fn call(&mut self, rate: u64, calls: u64, limit: Duration) -> Placed {
        let (begun, cpu) = (now(), cpu_time("self"));
        let mut running = JoinSet::new();
        for n in 0..calls {
            tokio::time::sleep_until((begun + at(n, rate)).into()).await;
            let (order, carrier) = (self.order(), Arc::clone(&self.carrier));
            running.spawn(async move { brief(carrier.place(order)).await });
        }
        let (mut placed, mut left) = (Placed::default(), calls);
        let cut_off = tokio::time::sleep_until((begun + limit).into());
        tokio::pin!(cut_off);
        loop {
            let ended = tokio::select! {
                () = &mut cut_off => break,
                ended = running.join_next() => ended,
            };
            let Some(ended) = ended else { break };
            let (set_up, end) = ended.expect("a call");
            left -= 1;
            match end {
                CallEnd::TalkOver => placed.good += 1,
                end => *placed.bad.entry(format!("{end:?}")).or_default() += 1,
            }
            placed.set_up_ms.extend(set_up.map(|time| time.as_secs_f64() * 1e3));
        }
        if left > 0 {
            placed.bad.insert("not over".to_owned(), left);
        }
        (placed.took, placed.cpu) = (begun.elapsed(), cpu_time("self") - cpu);
        placed
    }

    /// What a call takes that stands, and one that is over.
    pub(crate) async fn take(&mut self) -> Taken {
        let limit = Duration::from_secs(20);
        self.call(WARM_UP, WARM_UP, limit).await;
        let nothing = memory_kib();
        let (answered, enough) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
        let (begun, mut running) = (now(), JoinSet::new());
        for n in 0..HELD {
            tokio::time::sleep_until((begun + at(n, HELD_RATE)).into()).await;
            let order = self.order();
            let call = self.carrier.place_lasting(order);
            running.spawn(lasting(call, Arc::clone(&answered), Arc::clone(&enough)));
        }
        let all = answered.acquire_many(u32::try_from(HELD).expect("it is small"));
        let all = tokio::time::timeout(limit, all).await;
        drop(all.expect("every call is answered").expect("it stays open"));
        let (live, cpu) = (memory_kib() - nothing, cpu_time("self"));
        tokio::time::sleep(STAND).await;
        let cpu = cpu_time("self") - cpu;
        enough.notify_waiters();
        let all = tokio::time::timeout(limit, running.join_all()).await;
        assert!(all.expect("every call ends").into_iter().all(|end| end == CallEnd::TalkOver));
        // Those that stood are over too.
        self.call(OVER_RATE, OVER, limit).await;
        let over = memory_kib() - nothing;
        Taken {
            live_kib: live / HELD as f64,
            live_cpu_ms: cpu.as_secs_f64() * 1e3 / STAND.as_secs_f64() / HELD as f64,
            over_kib: over / (HELD + OVER) as f64,
        }
    }

    fn order(&mut self) -> CallOrder {
        self.attempts += 1;
        CallOrder {
            attempt: AttemptId::from_parts(1, self.attempts),
            token: [3; 16],
            trunk: self.trunk,
            caller: PhoneNumber::from_digits(12_025_550_143),
            callee: PhoneNumber::from_digits(13_105_500_000 + self.attempts),
            charged_before: 0,
            send_by: self.clock.monotonic().after(SEND_WITHIN),
            open_until: self.clock.monotonic().after(SEND_WITHIN),
            ring_limit: Duration::from_secs(45),
            talk_limit: Duration::from_secs(600),
        }
    }
}

/// When the nth leaves.
fn at(n: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(n as f64 / rate as f64)
}

/// To its end: how long the answer took, and what the end was.
async fn brief(mut call: PlacedCall) -> (Option<Duration>, CallEnd) {
    let (begun, mut set_up) = (now(), None);
    loop {
        match next(&mut call).await {
            CallEvent::Ringing => {}
            CallEvent::Answered => {
                set_up = Some(begun.elapsed());
                call.control.is_stored();
            }
            CallEvent::Ended(end) => return (set_up, end),
        }
    }
}

/// Until it is `enough`.
async fn lasting(mut call: PlacedCall, answered: Arc<Semaphore>, enough: Arc<Notify>) -> CallEnd {
    let enough = enough.notified();
    tokio::pin!(enough);
    enough.as_mut().enable();
    let mut lasts = true;
    loop {
        tokio::select! {
            event = next(&mut call) => match event {
                CallEvent::Ringing => {}
                CallEvent::Answered => {
                    call.control.is_stored();
                    answered.add_permits(1);
                }
                CallEvent::Ended(end) => return end,
            },
            () = enough.as_mut(), if lasts => {
                lasts = false;
                call.control.cancel();
            }
        }
    }
}

async fn next(call: &mut PlacedCall) -> CallEvent {
    poll_fn(|cx| call.events.as_mut().poll_next(cx)).await.expect("not before the end")
}

/// What this process holds of the machine's memory.
fn memory_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.expect("VmRSS in kB")
}
