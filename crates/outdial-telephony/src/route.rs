//! Which carrier gets a call: the simulated one or SIP, by the trunk's integration. It must never
//! guess: a call of a trunk that nobody told of does not leave.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use outdial_core::attempt::CallEvent;
use outdial_core::id::TrunkId;
use outdial_core::outcome::CallEnd;
use outdial_core::time::Timestamp;
use outdial_ports::store::{Integration, TrunkHealth, TrunkRecord};
use outdial_ports::{CallControl, CallOrder, Carrier, Leaving, OrphanCall, PlacedCall};

/// The carriers of a process, as one.
pub struct Carriers {
    simulated: Arc<dyn Carrier>,
    sip: Arc<dyn Carrier>,
    trunks: Mutex<BTreeMap<TrunkId, Integration>>,
}

impl Carriers {
    /// Calls go to one of these.
    pub fn new(simulated: Arc<dyn Carrier>, sip: Arc<dyn Carrier>) -> Self {
        Self { simulated, sip, trunks: Mutex::default() }
    }

    fn trunks(&self) -> MutexGuard<'_, BTreeMap<TrunkId, Integration>> {
        self.trunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier for Carriers {
    fn place(&self, order: CallOrder) -> PlacedCall {
        let integration = self.trunks().get(&order.trunk).copied();
        match integration {
            Some(Integration::Simulated) => self.simulated.place(order),
            Some(Integration::Sip) => self.sip.place(order),
            None => {
                tracing::warn!(attempt = %order.attempt, trunk = %order.trunk,
                    "a call over a trunk that is not known");
                let end = CallEnd::NoRoute { reason: "no_trunk" };
                let events = Box::pin(Ended(Some(CallEvent::Ended(end))));
                PlacedCall { events, control: Arc::new(NoControl) }
            }
        }
    }

    fn take_over(&self, orphan: OrphanCall) -> PlacedCall {
        let integration = self.trunks().get(&orphan.trunk).copied();
        match integration {
            Some(Integration::Simulated) => self.simulated.take_over(orphan),
            // Simulated calls die with their process and nobody asks for them: what is not known
            // was real, and its trunk deleted or not told yet.
            Some(Integration::Sip) | None => self.sip.take_over(orphan),
        }
    }

    fn set_trunks(&self, trunks: Vec<TrunkRecord>) {
        *self.trunks() = trunks.iter().map(|trunk| (trunk.id, trunk.integration)).collect();
        let (sip, simulated) =
            trunks.into_iter().partition(|trunk| trunk.integration == Integration::Sip);
        self.simulated.set_trunks(simulated);
        self.sip.set_trunks(sip);
    }

    fn trunk_health(&self) -> Vec<(TrunkId, Timestamp, TrunkHealth)> {
        let mut all = self.simulated.trunk_health();
        all.extend(self.sip.trunk_health());
        all
    }

    fn leave(&self) -> Leaving<'_> {
        Box::pin(async {
            self.simulated.leave().await;
            self.sip.leave().await;
        })
    }
}

struct Ended(Option<CallEvent>);

impl Stream for Ended {
    type Item = CallEvent;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<CallEvent>> {
        Poll::Ready(self.0.take())
    }
}

struct NoControl;

impl CallControl for NoControl {
    fn cancel(&self) {}
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use outdial_core::dispatcher::LineLimits;
    use outdial_core::id::{AttemptId, WorkspaceId};
    use outdial_core::phone::PhoneNumber;
    use outdial_ports::Monotonic;

    use super::*;

    /// Says which carrier it is by its health and by how its calls end.
    struct Named(u16);

    impl Carrier for Named {
        fn place(&self, _: CallOrder) -> PlacedCall {
            let end = CallEnd::Redirected { status: self.0 };
            let events = Box::pin(Ended(Some(CallEvent::Ended(end))));
            PlacedCall { events, control: Arc::new(NoControl) }
        }
        fn trunk_health(&self) -> Vec<(TrunkId, Timestamp, TrunkHealth)> {
            let id = TrunkId::from_parts(0, u64::from(self.0));
            vec![(id, Timestamp::EPOCH, TrunkHealth::default())]
        }
    }

    fn trunk(seq: u64, integration: Integration) -> TrunkRecord {
        TrunkRecord {
            id: TrunkId::from_parts(1, seq),
            workspace: WorkspaceId::from_parts(1, 1),
            integration,
            spec: None,
            limits: LineLimits::default(),
            paused_until: None,
            health: TrunkHealth::default(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
        }
    }

    async fn end_over(carriers: &Carriers, seq: u64) -> CallEnd {
        let order = CallOrder {
            attempt: AttemptId::from_parts(1, 1),
            token: [0; 16],
            trunk: TrunkId::from_parts(1, seq),
            caller: PhoneNumber::from_digits(1),
            callee: PhoneNumber::from_digits(2),
            charged_before: 0,
            send_by: Monotonic::default(),
            open_until: Monotonic::default(),
            ring_limit: Duration::ZERO,
            talk_limit: Duration::ZERO,
        };
        let mut call = carriers.place(order);
        match poll_fn(|cx| call.events.as_mut().poll_next(cx)).await {
            Some(CallEvent::Ended(end)) => end,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn by_the_trunks_integration_and_never_by_guessing() {
        let carriers = Carriers::new(Arc::new(Named(1)), Arc::new(Named(2)));
        let unknown = CallEnd::NoRoute { reason: "no_trunk" };
        assert_eq!(end_over(&carriers, 1).await, unknown);
        carriers.set_trunks(vec![trunk(1, Integration::Simulated), trunk(2, Integration::Sip)]);
        for seq in [1, 2] {
            let status = u16::try_from(seq).unwrap();
            assert_eq!(end_over(&carriers, seq).await, CallEnd::Redirected { status });
        }
        carriers.set_trunks(vec![trunk(2, Integration::Sip)]);
        assert_eq!(end_over(&carriers, 1).await, unknown);
        assert_eq!(carriers.trunk_health().len(), 2);
    }
}
