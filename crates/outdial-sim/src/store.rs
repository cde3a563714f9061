//! The store as one process of the world has it: the real one, behind a line on which questions and
//! answers take time, and which is dead when the process is. What the store did is told to the
//! watch at the moment it did it. In bad weather (`weather`) it refuses, loses answers, is slow.

mod told;

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::attempt::{AttemptEnd, AttemptProgress};
use outdial_core::batch::BatchState;
use outdial_core::call::CallNext;
use outdial_core::dispatcher::{Ask, Bucket, Candidate, Group, Head, Line};
use outdial_core::id::{
    AgentId, AttemptId, BatchId, CallId, DeliveryId, DncId, KeyId, PhoneId, RequestId, TrunkId,
    WebhookId, WorkspaceId,
};
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    AgentError, AgentRecord, AgentSpec, Backlog, BatchCreateError, BatchList, BatchListQuery,
    BatchPatch, BatchRecord, BatchStart, BatchStartError, BatchUpdateError, CallCanceled, CallList,
    CallQuery, CallView, ChunkAdd, ChunkError, CommitError, CommitOutcome, DeliveryJob,
    DeliveryList, DeliveryNext, DeliveryQuery, DeliveryTry, DncAddError, DncDeleteError, DncList,
    DncListQuery, DncRecord, EventBacklog, EventPage, FinishResult, IngestContext, KeyError,
    KeyRecord, KeyRotation, NewBatch, NewDnc, NewKey, NewPhone, NewPlan, NewWebhook, NewWorkspace,
    NodeBeat, NodeJoinError, NodeRecord, NodeSpec, NodeStanding, OpenAttempt, PhoneError,
    PhonePatch, PhoneRecord, Principal, Replay, RequestBegin, RequestLookup, Secret, Settle,
    StoreError, StoredAnswer, StoredChunk, TrunkError, TrunkHealth, TrunkRecord, TrunkSpec,
    WebhookError, WebhookPatch, WebhookRecord, WorkspaceCreated, WorkspaceRecord,
};
use outdial_ports::{Mark, Store};

use crate::clock::SimClock;
use crate::rng::Rng;
use crate::watch::Watch;
use crate::weather::{Luck, MEANT, Weather, lost, writes};
pub(crate) use told::{AFTERMATH, Latency, Life};

/// The store of one process.
pub(crate) struct SimStore {
    /// The real one.
    pub inner: Arc<dyn Store>,
    /// Number of the process.
    pub process: u32,
    /// Its life.
    pub life: Arc<Life>,
    /// Who is told.
    pub watch: Arc<Watch>,
    /// Virtual time.
    pub clock: Arc<SimClock>,
    /// How long it takes.
    pub latency: Latency,
    /// It is an older copy: nothing that is done in it counts.
    pub is_copy: bool,
    /// Whether it works.
    pub weather: Arc<Weather>,
    /// It is the engine's: whoever asks survives a panic.
    pub may_panic: bool,
    /// Draws how long, and what goes wrong.
    pub rng: Mutex<Rng>,
}

impl SimStore {
    /// One way between the process and its store; nobody arrives of a process that is dead.
    async fn travel(&self) {
        let wait = {
            let mut rng = self.rng();
            let spike = self.latency.spike_ms > 0 && rng.percent(1);
            let most = if spike { self.latency.spike_ms } else { self.latency.usual_ms };
            let usual = Duration::from_millis(if most == 0 { 0 } else { rng.range(0..=most) });
            self.weather.delay(&mut rng).unwrap_or(usual)
        };
        if !wait.is_zero() && !self.life.is_over() {
            self.clock.sleep(wait).await;
        }
        self.life.awake(&self.clock).await;
        if self.life.is_over() {
            pending::<()>().await;
        }
    }

    /// What a question meets with; counted.
    fn luck(&self, op: &'static str) -> Luck {
        let luck = self.weather.luck(&mut self.rng(), op, self.may_panic);
        let what = match &luck {
            Luck::Good => return luck,
            Luck::Refused(StoreError::Full) => "fault: disk full",
            Luck::Refused(_) => "fault: store unavailable",
            Luck::AnswerLost => "fault: applied, answer lost",
            Luck::NeverArrived => "fault: not applied, answer lost",
            Luck::Panic => "fault: store panics",
        };
        self.watch.count(what);
        // There is no end of these; what changes something is of interest.
        if writes(op) {
            self.note(&format!("{op}: {what}"));
        }
        luck
    }

    fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// There, done, told, and back; unless the weather is bad.
macro_rules! ask {
    ($self:ident.$op:ident($($arg:expr),*), |$out:ident| $told:block) => {{
        let luck = $self.luck(stringify!($op));
        $self.travel().await;
        match luck {
            Luck::Good | Luck::AnswerLost => {
                let out = $self.inner.$op($($arg),*).await;
                { let $out = &out; $told }
                $self.travel().await;
                if luck == Luck::AnswerLost { Err(lost().into()) } else { out }
            }
            Luck::Refused(error) => {
                $self.travel().await;
                Err(error.into())
            }
            Luck::NeverArrived => {
                $self.travel().await;
                Err(lost().into())
            }
            Luck::Panic => panic!("{MEANT}"),
        }
    }};
}

/// The store: of the plain operations nobody is told; the others are written out.
macro_rules! store {
    (
        plain { $($name:ident($($arg:ident: $type:ty),*) -> $ok:ty, $err:ty;)* }
        told { $($told:tt)* }
    ) => {
        #[async_trait]
        impl Store for SimStore {
            $(async fn $name(&self $(, $arg: $type)*) -> Result<$ok, $err> {
                ask!(self.$name($($arg),*), |_out| {})
            })*
            $($told)*
        }
    };
}

store! {
    plain {
        ping() -> (), StoreError;
        secret_fetch() -> [u8; 32], StoreError;
        node_join(spec: NodeSpec) -> (), NodeJoinError;
        node_beat(beat: NodeBeat) -> NodeStanding, StoreError;
        node_leave() -> (), StoreError;
        node_list() -> Vec<NodeRecord>, StoreError;
        event_number(limit: u32) -> u32, StoreError;
        event_list(ws: WorkspaceId, after: u64, limit: u32) -> EventPage, StoreError;
        event_backlog() -> EventBacklog, StoreError;
        batch_backlog() -> Backlog, StoreError;
        event_prune(limit: u32) -> u32, StoreError;
        batch_list_active(ws: WorkspaceId) -> Vec<BatchRecord>, StoreError;
        webhook_create(ws: WorkspaceId, new: NewWebhook) -> WebhookRecord, WebhookError;
        webhook_list(ws: WorkspaceId) -> Vec<WebhookRecord>, StoreError;
        webhook_fetch(ws: WorkspaceId, id: WebhookId) -> Option<WebhookRecord>, StoreError;
        webhook_update(ws: WorkspaceId, id: WebhookId, patch: WebhookPatch)
            -> WebhookRecord, WebhookError;
        webhook_rotate(ws: WorkspaceId, id: WebhookId, secret: Secret, old_until: Timestamp)
            -> WebhookRecord, WebhookError;
        webhook_delete(ws: WorkspaceId, id: WebhookId) -> bool, StoreError;
        webhook_disable(id: WebhookId, reason: String) -> bool, StoreError;
        delivery_claim(limit_per_endpoint: u32, limit: u32, busy: &[WebhookId])
            -> Vec<DeliveryJob>, StoreError;
        delivery_record(delivery: DeliveryId, tried: DeliveryTry, next: DeliveryNext)
            -> bool, StoreError;
        delivery_list(ws: WorkspaceId, webhook: WebhookId, query: DeliveryQuery)
            -> Option<DeliveryList>, StoreError;
        delivery_replay(ws: WorkspaceId, webhook: WebhookId, what: Replay)
            -> Option<u32>, StoreError;
        workspace_create(new: NewWorkspace) -> WorkspaceCreated, StoreError;
        workspace_list() -> Vec<WorkspaceRecord>, StoreError;
        settings_fetch(ws: WorkspaceId) -> WorkspaceSettings, StoreError;
        key_create(ws: WorkspaceId, key: NewKey) -> KeyRecord, StoreError;
        key_list(ws: WorkspaceId) -> Vec<KeyRecord>, StoreError;
        key_revoke(ws: WorkspaceId, key: KeyId) -> bool, StoreError;
        key_rotate(ws: WorkspaceId, key: KeyId, rotation: KeyRotation) -> KeyRecord, KeyError;
        key_touch(keys: Vec<KeyId>) -> u32, StoreError;
        key_authenticate(hash: [u8; 32]) -> Option<Principal>, StoreError;
        agent_create(ws: WorkspaceId, a: AgentSpec) -> AgentRecord, StoreError;
        agent_list(ws: WorkspaceId) -> Vec<AgentRecord>, StoreError;
        agent_fetch(ws: WorkspaceId, id: AgentId) -> Option<AgentRecord>, StoreError;
        agent_update(ws: WorkspaceId, id: AgentId, version: Option<u32>, a: AgentSpec)
            -> AgentRecord, AgentError;
        agent_delete(ws: WorkspaceId, id: AgentId) -> (), AgentError;
        phone_create(ws: WorkspaceId, phone: NewPhone) -> PhoneRecord, PhoneError;
        phone_list(ws: WorkspaceId) -> Vec<PhoneRecord>, StoreError;
        phone_delete(ws: WorkspaceId, id: PhoneId) -> (), PhoneError;
        trunk_create(ws: WorkspaceId, spec: TrunkSpec) -> TrunkRecord, TrunkError;
        trunk_list(ws: WorkspaceId) -> Vec<TrunkRecord>, StoreError;
        trunk_list_all() -> Vec<TrunkRecord>, StoreError;
        trunk_update(
            ws: WorkspaceId, id: TrunkId, updated_at: Option<Timestamp>, spec: TrunkSpec
        ) -> TrunkRecord, TrunkError;
        trunk_delete(ws: WorkspaceId, id: TrunkId) -> (), TrunkError;
        trunk_report(found: Vec<(TrunkId, Timestamp, TrunkHealth)>) -> (), StoreError;
        batch_fetch(id: BatchId) -> Option<BatchRecord>, StoreError;
        batch_list(ws: WorkspaceId, query: BatchListQuery) -> BatchList, StoreError;
        batch_ingest_context(ws: WorkspaceId, id: BatchId) -> Option<IngestContext>, StoreError;
        request_lookup(r: &RequestBegin) -> RequestLookup, StoreError;
        request_begin(r: &RequestBegin) -> RequestLookup, StoreError;
        request_finish(request: RequestId, answer: StoredAnswer, is_final: bool)
            -> (), StoreError;
        request_close(request: RequestId) -> (), StoreError;
        request_prune(limit: u32) -> u32, StoreError;
        import_begin(request: RequestId, new: NewBatch)
            -> BatchId, outdial_ports::store::ImportError;
        import_finish(end: outdial_ports::store::ImportFinish)
            -> (), outdial_ports::store::ImportError;
        import_prune(limit: u32) -> u32, StoreError;
        call_export(batch: BatchId, after: Option<CallId>, limit: u32)
            -> Vec<CallView>, StoreError;
        call_list(batch: BatchId, query: CallQuery) -> CallList, StoreError;
        call_fetch(ws: WorkspaceId, id: CallId) -> Option<(BatchRecord, CallView)>, StoreError;
        call_give_up(ws: WorkspaceId, id: CallId, reason: &'static str) -> bool, StoreError;
        dnc_list(ws: WorkspaceId, query: DncListQuery) -> DncList, StoreError;
        dispatch_workspaces() -> Vec<WorkspaceId>, StoreError;
        dispatch_groups(ws: WorkspaceId, also: Option<BatchId>) -> Vec<Group>, StoreError;
        dispatch_waiting(batches: Vec<BatchId>) -> Vec<Bucket>, StoreError;
        dispatch_candidates(asks: &[Ask]) -> Vec<Candidate>, StoreError;
        attempt_record(attempt: AttemptId, progress: AttemptProgress, dialog: Option<String>)
            -> bool, StoreError;
        attempt_is_known(attempt: AttemptId, token: [u8; 16]) -> bool, StoreError;
        attempt_latest_of_others(ws: WorkspaceId) -> Option<Mark>, StoreError;
        attempt_is_any() -> bool, StoreError;
        attempt_fetch(attempt: AttemptId) -> Option<OpenAttempt>, StoreError;
        attempt_list_orphaned(limit: u32) -> Vec<OpenAttempt>, StoreError;
        live_list_recalled() -> Vec<AttemptId>, StoreError;
    }
    told {
        async fn dispatch_head(
            &self,
            ws: WorkspaceId,
            also: Option<BatchId>,
        ) -> Result<Head, StoreError> {
            ask!(self.dispatch_head(ws, also), |out| {
                if let Ok(head) = out {
                    self.saw(|seen, _| {
                        let ids = head.batches.iter().map(|b| b.id);
                        ids.for_each(|id| seen.checkers.brakes.known(id));
                        Ok(())
                    });
                }
            })
        }
        async fn limits_prune(&self, limit: u32) -> Result<u32, StoreError> {
            ask!(self.limits_prune(limit), |out| {
                if out.is_ok() {
                    self.saw(|seen, _| {
                        seen.checkers.often.pruned(seen.wall);
                        Ok(())
                    });
                }
            })
        }
        async fn settings_update(
            &self,
            ws: WorkspaceId,
            was: Option<WorkspaceSettings>,
            settings: WorkspaceSettings,
        ) -> Result<bool, StoreError> {
            let told = settings.clone();
            let done = ask!(self.settings_update(ws, was, settings), |out| {
                if *out == Ok(true) {
                    self.saw(|seen, now| {
                        seen.settings_changed(ws, told.clone(), now);
                        Ok(())
                    });
                }
            });
            if done == Ok(true) && told.do_not_call {
                self.saw(|seen, now| {
                    seen.checkers.wishes.switched_on(ws, now);
                    seen.recall_listed(now);
                    Ok(())
                });
            }
            done
        }
        async fn phone_update(
            &self,
            ws: WorkspaceId,
            id: PhoneId,
            patch: PhonePatch,
        ) -> Result<PhoneRecord, PhoneError> {
            ask!(self.phone_update(ws, id, patch), |out| {
                if let Ok(phone) = out {
                    self.saw(|seen, now| {
                        seen.checkers.pace.set_line(Line::Number(id), now, phone.limits);
                        seen.model.phones.insert(id, (phone.limits, phone.price));
                        Ok(())
                    });
                }
            })
        }
        async fn batch_create(&self, new: NewBatch) -> Result<BatchId, BatchCreateError> {
            let made = new.clone();
            ask!(self.batch_create(new), |out| {
                if let Ok(id) = *out {
                    self.saw(|seen, now| {
                        seen.model.batch_created(id, &made);
                        seen.settings_of_batch(id, now);
                        seen.checkers.wishes.batch_checked(id, made.settings.enable_dnc, now);
                        seen.changed.insert(id);
                        Ok(())
                    });
                }
            })
        }
        async fn batch_update(
            &self,
            ws: WorkspaceId,
            id: BatchId,
            patch: BatchPatch,
        ) -> Result<BatchRecord, BatchUpdateError> {
            let told = patch.clone();
            let done = ask!(self.batch_update(ws, id, patch), |out| {
                if out.is_ok() {
                    self.saw(|seen, now| seen.batch_changed(id, &told, now));
                }
            });
            if done.as_ref().is_ok_and(|b| b.settings.enable_dnc) {
                self.saw(|seen, now| {
                    seen.checkers.wishes.batch_checked(id, true, now);
                    seen.recall_listed(now);
                    Ok(())
                });
            }
            done
        }
        async fn batch_start(
            &self,
            ws: WorkspaceId,
            id: BatchId,
            start: BatchStart,
        ) -> Result<BatchRecord, BatchStartError> {
            let lane = start.call_data_lane;
            ask!(self.batch_start(ws, id, start), |out| {
                if out.is_ok() {
                    self.saw(|seen, _| {
                        seen.checkers.stops.started(id);
                        let braked = seen.model.batch_started(id, lane)?;
                        seen.out_of_pause(id, braked);
                        Ok(())
                    });
                }
            })
        }
        async fn batch_stop(&self, ws: WorkspaceId, id: BatchId) -> Result<bool, StoreError> {
            let done = ask!(self.batch_stop(ws, id), |out| {
                if *out == Ok(true) {
                    self.saw(|seen, _| {
                        let braked = seen.model.batch_halted(id, BatchState::Stopped)?;
                        seen.out_of_pause(id, braked);
                        Ok(())
                    });
                }
            });
            if done == Ok(true) {
                self.saw(|seen, now| {
                    seen.checkers.stops.halted(id, now);
                    Ok(())
                });
            }
            done
        }
        async fn batch_delete(&self, ws: WorkspaceId, id: BatchId) -> Result<bool, StoreError> {
            let done = ask!(self.batch_delete(ws, id), |out| {
                if *out == Ok(true) {
                    self.saw(|seen, _| {
                        let braked = seen.model.batch_halted(id, BatchState::Deleted)?;
                        seen.out_of_pause(id, braked);
                        Ok(())
                    });
                }
            });
            if done == Ok(true) {
                self.saw(|seen, now| {
                    seen.checkers.stops.halted(id, now);
                    seen.checkers.recalls.wanted(now, |call| call.batch == id);
                    Ok(())
                });
            }
            done
        }
        async fn batch_expire_due(&self, limit: u32) -> Result<u32, StoreError> {
            ask!(self.batch_expire_due(limit), |out| {
                if let Ok(expired) = *out {
                    self.saw_expiry(expired);
                }
            })
        }
        async fn batch_close_due(&self, limit: u32) -> Result<Vec<BatchId>, StoreError> {
            ask!(self.batch_close_due(limit), |out| {
                for id in out.iter().flatten() {
                    self.note(&format!("close batch {}", id.seq()));
                    self.saw(|seen, _| {
                        let braked = seen.model.batch_closed(*id)?;
                        seen.out_of_pause(*id, braked);
                        Ok(())
                    });
                }
            })
        }
        async fn call_add_chunk(&self, chunk: ChunkAdd) -> Result<StoredChunk, ChunkError> {
            let add = chunk.clone();
            ask!(self.call_add_chunk(chunk), |out| {
                match out {
                    Ok(stored) => self.saw_chunk(&add, stored),
                    // Whatever was stored of it is too much.
                    Err(_) => self.saw(|seen, _| {
                        seen.changed.insert(add.batch);
                        Ok(())
                    }),
                }
            })
        }
        async fn call_cancel(
            &self,
            ws: WorkspaceId,
            id: CallId,
        ) -> Result<Option<CallCanceled>, StoreError> {
            let done = ask!(self.call_cancel(ws, id), |out| {
                if let Ok(answer) = *out {
                    self.saw_cancel(id, answer);
                }
            });
            if matches!(done, Ok(Some(CallCanceled::Canceled | CallCanceled::Recalled))) {
                self.saw(|seen, now| {
                    seen.checkers.wishes.taken_back(id, now);
                    seen.checkers.recalls.wanted(now, |call| call.call == id);
                    Ok(())
                });
            }
            done
        }
        async fn dnc_add(&self, ws: WorkspaceId, new: NewDnc) -> Result<DncRecord, DncAddError> {
            let phone = new.phone;
            let done = ask!(self.dnc_add(ws, new), |out| { self.saw_listing(ws, phone, out); });
            if done.is_ok() {
                self.saw(|seen, now| {
                    seen.checkers.wishes.listed(ws, phone, now);
                    seen.recall_listed(now);
                    Ok(())
                });
            }
            done
        }
        async fn dnc_delete(&self, ws: WorkspaceId, id: DncId) -> Result<(), DncDeleteError> {
            ask!(self.dnc_delete(ws, id), |out| {
                if out.is_ok() {
                    self.saw(|seen, now| {
                        let phone = seen.model.unlisted(ws, id)?;
                        seen.checkers.wishes.unlisted(ws, phone);
                        seen.recall_listed(now);
                        Ok(())
                    });
                }
            })
        }
        async fn attempt_commit_intents(
            &self,
            ws: WorkspaceId,
            version: u64,
            plan: NewPlan,
        ) -> Result<CommitOutcome, CommitError> {
            let (brakes, pauses) = (plan.brakes.clone(), plan.pauses.clone());
            if !plan.intents.is_empty() {
                self.life.hold(ws).await;
            }
            let done = ask!(self.attempt_commit_intents(ws, version, plan), |out| {
                match out {
                    Ok(outcome) => self.saw_commit(ws, outcome, &brakes, &pauses),
                    Err(error) => {
                        self.note(&format!("commit: {error}"));
                        self.watch.count("commit refused");
                    }
                }
            });
            if let Ok(outcome) = &done {
                self.saw(|seen, _| {
                    seen.model.acknowledged(outcome);
                    Ok(())
                });
            }
            done
        }
        async fn attempt_finish(
            &self,
            attempt: AttemptId,
            end: AttemptEnd,
            next: CallNext,
            settle: Settle,
        ) -> Result<FinishResult, StoreError> {
            let told = end.clone();
            ask!(self.attempt_finish(attempt, end, next, settle), |out| {
                if let Ok(result) = *out {
                    self.saw_finish(attempt, &told, next, settle, result);
                }
            })
        }
    }
}
