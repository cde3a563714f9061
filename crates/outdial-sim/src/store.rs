//! The store as one process of the world has it: the real one, behind a line on which questions and
//! answers take time, and which is dead when the process is. What the store did is told to the
//! watch at the moment it did it. Faults will come in here.

mod told;

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use outdial_core::attempt::{AttemptEnd, AttemptProgress};
use outdial_core::batch::BatchState;
use outdial_core::call::CallNext;
use outdial_core::dispatcher::{Ask, Candidate, Group, Head, Line};
use outdial_core::id::{
    AgentId, AttemptId, BatchId, CallId, KeyId, PhoneId, RequestId, WorkspaceId,
};
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_ports::Store;
use outdial_ports::store::{
    AgentError, AgentRecord, AgentSpec, BatchCreateError, BatchList, BatchListQuery, BatchRecord,
    BatchStart, BatchStartError, CallList, CallQuery, CallView, ChunkAdd, ChunkError, CommitError,
    CommitOutcome, FinishResult, IngestContext, KeyRecord, NewBatch, NewIntent, NewKey, NewPhone,
    NewWorkspace, OpenAttempt, PhoneError, PhonePatch, PhoneRecord, Principal, RequestBegin,
    RequestLookup, StoreError, StoredAnswer, StoredChunk, WorkspaceCreated, WorkspaceRecord,
};

use crate::checker::Cap;
use crate::clock::SimClock;
use crate::rng::Rng;
use crate::watch::Watch;
pub(crate) use told::{Latency, Life};

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
    /// Draws how long.
    pub rng: Mutex<Rng>,
}

impl SimStore {
    /// One way between the process and its store; nobody arrives of a process that is dead.
    async fn travel(&self) {
        let wait = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            let spike = self.latency.spike_ms > 0 && rng.percent(1);
            let most = if spike { self.latency.spike_ms } else { self.latency.usual_ms };
            if most == 0 { 0 } else { rng.range(0..=most) }
        };
        if wait > 0 && !self.life.is_over() {
            self.clock.sleep(Duration::from_millis(wait)).await;
        }
        if self.life.is_over() {
            pending::<()>().await;
        }
    }
}

/// There, done, told, and back.
macro_rules! ask {
    ($self:ident.$op:ident($($arg:expr),*)) => {
        ask!($self.$op($($arg),*), |_out| {})
    };
    ($self:ident.$op:ident($($arg:expr),*), |$out:ident| $told:block) => {{
        $self.travel().await;
        let out = $self.inner.$op($($arg),*).await;
        { let $out = &out; $told }
        $self.travel().await;
        out
    }};
}

#[async_trait]
impl Store for SimStore {
    async fn ping(&self) -> Result<(), StoreError> {
        ask!(self.ping())
    }
    async fn secret_fetch(&self) -> Result<[u8; 32], StoreError> {
        ask!(self.secret_fetch())
    }
    async fn workspace_create(&self, new: NewWorkspace) -> Result<WorkspaceCreated, StoreError> {
        ask!(self.workspace_create(new))
    }
    async fn workspace_list(&self) -> Result<Vec<WorkspaceRecord>, StoreError> {
        ask!(self.workspace_list())
    }
    async fn settings_fetch(&self, ws: WorkspaceId) -> Result<WorkspaceSettings, StoreError> {
        ask!(self.settings_fetch(ws))
    }
    async fn settings_update(
        &self,
        ws: WorkspaceId,
        settings: WorkspaceSettings,
    ) -> Result<(), StoreError> {
        let limit = settings.concurrency;
        ask!(self.settings_update(ws, settings), |out| {
            if out.is_ok() {
                self.saw(|seen, now| {
                    seen.checkers.pace.set_cap(Cap::Workspace(ws), now, limit);
                    Ok(())
                });
            }
        })
    }
    async fn key_create(&self, ws: WorkspaceId, key: NewKey) -> Result<KeyRecord, StoreError> {
        ask!(self.key_create(ws, key))
    }
    async fn key_list(&self, ws: WorkspaceId) -> Result<Vec<KeyRecord>, StoreError> {
        ask!(self.key_list(ws))
    }
    async fn key_revoke(&self, ws: WorkspaceId, key: KeyId) -> Result<bool, StoreError> {
        ask!(self.key_revoke(ws, key))
    }
    async fn key_authenticate(&self, hash: [u8; 32]) -> Result<Option<Principal>, StoreError> {
        ask!(self.key_authenticate(hash))
    }
    async fn agent_create(&self, ws: WorkspaceId, a: AgentSpec) -> Result<AgentRecord, StoreError> {
        ask!(self.agent_create(ws, a))
    }
    async fn agent_list(&self, ws: WorkspaceId) -> Result<Vec<AgentRecord>, StoreError> {
        ask!(self.agent_list(ws))
    }
    async fn agent_fetch(
        &self,
        ws: WorkspaceId,
        id: AgentId,
    ) -> Result<Option<AgentRecord>, StoreError> {
        ask!(self.agent_fetch(ws, id))
    }
    async fn agent_update(
        &self,
        ws: WorkspaceId,
        id: AgentId,
        a: AgentSpec,
    ) -> Result<AgentRecord, AgentError> {
        ask!(self.agent_update(ws, id, a))
    }
    async fn agent_delete(&self, ws: WorkspaceId, id: AgentId) -> Result<(), AgentError> {
        ask!(self.agent_delete(ws, id))
    }
    async fn phone_create(
        &self,
        ws: WorkspaceId,
        phone: NewPhone,
    ) -> Result<PhoneRecord, PhoneError> {
        ask!(self.phone_create(ws, phone))
    }
    async fn phone_list(&self, ws: WorkspaceId) -> Result<Vec<PhoneRecord>, StoreError> {
        ask!(self.phone_list(ws))
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
                    Ok(())
                });
            }
        })
    }
    async fn phone_delete(&self, ws: WorkspaceId, id: PhoneId) -> Result<(), PhoneError> {
        ask!(self.phone_delete(ws, id))
    }
    async fn batch_create(&self, new: NewBatch) -> Result<BatchId, BatchCreateError> {
        let made = new.clone();
        ask!(self.batch_create(new), |out| {
            if let Ok(id) = *out {
                self.saw(|seen, now| {
                    let limit = made.settings.concurrency;
                    seen.checkers.pace.set_cap(Cap::Batch(id), now, limit);
                    seen.model.batch_created(id, &made);
                    seen.changed.insert(id);
                    Ok(())
                });
            }
        })
    }
    async fn batch_fetch(&self, id: BatchId) -> Result<Option<BatchRecord>, StoreError> {
        ask!(self.batch_fetch(id))
    }
    async fn batch_list(
        &self,
        ws: WorkspaceId,
        query: BatchListQuery,
    ) -> Result<BatchList, StoreError> {
        ask!(self.batch_list(ws, query))
    }
    async fn batch_ingest_context(
        &self,
        ws: WorkspaceId,
        id: BatchId,
    ) -> Result<Option<IngestContext>, StoreError> {
        ask!(self.batch_ingest_context(ws, id))
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
                    seen.changed.insert(id);
                    seen.model.batch_started(id, lane)
                });
            }
        })
    }
    async fn batch_stop(&self, ws: WorkspaceId, id: BatchId) -> Result<bool, StoreError> {
        let done = ask!(self.batch_stop(ws, id), |out| {
            if *out == Ok(true) {
                self.saw(|seen, _| {
                    seen.changed.insert(id);
                    seen.model.batch_halted(id, BatchState::Stopped)
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
                    seen.changed.insert(id);
                    seen.model.batch_halted(id, BatchState::Deleted)
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
    async fn batch_close_due(&self, limit: u32) -> Result<Vec<BatchId>, StoreError> {
        ask!(self.batch_close_due(limit), |out| {
            for id in out.iter().flatten() {
                self.note(&format!("close batch {}", id.seq()));
                self.saw(|seen, _| {
                    seen.changed.insert(*id);
                    seen.model.batch_closed(*id)
                });
            }
        })
    }
    async fn request_lookup(&self, r: &RequestBegin) -> Result<RequestLookup, StoreError> {
        ask!(self.request_lookup(r))
    }
    async fn request_begin(&self, r: &RequestBegin) -> Result<RequestLookup, StoreError> {
        ask!(self.request_begin(r))
    }
    async fn call_add_chunk(&self, chunk: ChunkAdd) -> Result<StoredChunk, ChunkError> {
        let add = chunk.clone();
        ask!(self.call_add_chunk(chunk), |out| {
            if let Ok(stored) = out {
                let added = self.watch.look(|seen, now| {
                    seen.changed.insert(add.batch);
                    let added = seen.model.chunk_added(&add, stored, now)?;
                    seen.count("added: new", u64::from(added.new));
                    seen.count("added: deferred", u64::from(added.deferred));
                    seen.count("added: re-opened", u64::from(added.reopened));
                    let pending = added.updated - added.deferred - added.reopened;
                    seen.count("added: pending", u64::from(pending));
                    Ok(added)
                });
                if let Some(added) = added {
                    self.note(&format!("chunk into batch {}: {added:?}", add.batch.seq()));
                }
            }
        })
    }
    async fn request_finish(
        &self,
        request: RequestId,
        answer: StoredAnswer,
        is_final: bool,
    ) -> Result<(), StoreError> {
        ask!(self.request_finish(request, answer, is_final))
    }
    async fn request_close(&self, request: RequestId) -> Result<(), StoreError> {
        ask!(self.request_close(request))
    }
    async fn request_prune(&self, limit: u32) -> Result<u32, StoreError> {
        ask!(self.request_prune(limit))
    }
    async fn call_list(&self, batch: BatchId, query: CallQuery) -> Result<CallList, StoreError> {
        ask!(self.call_list(batch, query))
    }
    async fn call_fetch(
        &self,
        ws: WorkspaceId,
        id: CallId,
    ) -> Result<Option<(BatchRecord, CallView)>, StoreError> {
        ask!(self.call_fetch(ws, id))
    }
    async fn dispatch_workspaces(&self) -> Result<Vec<WorkspaceId>, StoreError> {
        ask!(self.dispatch_workspaces())
    }
    async fn dispatch_head(&self, ws: WorkspaceId) -> Result<Head, StoreError> {
        ask!(self.dispatch_head(ws))
    }
    async fn dispatch_groups(&self, ws: WorkspaceId) -> Result<Vec<Group>, StoreError> {
        ask!(self.dispatch_groups(ws))
    }
    async fn dispatch_candidates(&self, asks: &[Ask]) -> Result<Vec<Candidate>, StoreError> {
        ask!(self.dispatch_candidates(asks))
    }
    async fn attempt_commit_intents(
        &self,
        ws: WorkspaceId,
        version: u64,
        intents: Vec<NewIntent>,
        slots: Vec<(Line, Vec<Timestamp>)>,
    ) -> Result<CommitOutcome, CommitError> {
        let done = ask!(self.attempt_commit_intents(ws, version, intents, slots), |out| {
            match out {
                Ok(outcome) => self.saw_commit(ws, outcome),
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
    async fn attempt_record(
        &self,
        attempt: AttemptId,
        progress: AttemptProgress,
    ) -> Result<bool, StoreError> {
        ask!(self.attempt_record(attempt, progress))
    }
    async fn attempt_fetch(&self, attempt: AttemptId) -> Result<Option<OpenAttempt>, StoreError> {
        ask!(self.attempt_fetch(attempt))
    }
    async fn attempt_finish(
        &self,
        attempt: AttemptId,
        end: AttemptEnd,
        next: CallNext,
        trunk_paused_until: Option<Timestamp>,
    ) -> Result<FinishResult, StoreError> {
        let told = end.clone();
        ask!(self.attempt_finish(attempt, end, next, trunk_paused_until), |out| {
            if let Ok(result) = *out {
                self.saw_finish(attempt, &told, next, result);
            }
        })
    }
    async fn attempt_list_orphaned(&self, limit: u32) -> Result<Vec<OpenAttempt>, StoreError> {
        ask!(self.attempt_list_orphaned(limit))
    }
    async fn live_list_recalled(&self) -> Result<Vec<AttemptId>, StoreError> {
        ask!(self.live_list_recalled())
    }
}
