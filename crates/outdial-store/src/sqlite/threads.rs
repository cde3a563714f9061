//! The store with its threads: one writer that puts many operations under one commit, and a few
//! readers.
//!
//! An operation is answered only after its COMMIT. It runs to its end even when nobody waits for
//! its answer any more.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use outdial_ports::failpoint;
use outdial_ports::store::StoreError;
use outdial_ports::{Clock, Entropy};
use tokio::sync::oneshot;

use super::db::{Begin, SqliteDb};
use super::log::{Gate, LARGE, Log};
use super::open::{self, OpenError, OpenMode, Opened, Role};
use super::store::{Kind, Run};

/// Threads for reads that are short.
const READERS: usize = 2;
/// Threads for reads of whole batches.
const SLOW_READERS: usize = 2;
/// Most small writes under one commit.
const GROUP: usize = 256;
/// Most big writes under one commit: an fsync takes about as long as a chunk, and with four it is a
/// fifth of the work. More would keep the small ones waiting.
const BIG_GROUP: usize = 4;

/// SQLite behind its threads. Dropping it waits until what was begun has ended.
pub struct SqliteStore {
    writes: Arc<Queue>,
    reads: Arc<Queue>,
    slow_reads: Arc<Queue>,
    engine_reads: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    opened: Opened,
}

impl SqliteStore {
    /// Opens a database, makes or updates its schema, and starts the threads.
    pub fn open(
        path: &Path,
        mode: OpenMode,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, OpenError> {
        let opened = open::open(path, mode, clock, entropy)?;
        let mut store = Self {
            writes: Arc::default(),
            reads: Arc::default(),
            slow_reads: Arc::default(),
            engine_reads: Arc::default(),
            threads: Vec::new(),
            opened,
        };
        let (queue, gate) = (Arc::clone(&store.writes), Arc::<Gate>::default());
        let held = Arc::clone(&gate);
        store.start("store-writer", Role::Writer, move |db| write_loop(db, &queue, held))?;
        for (name, threads, queue, gate) in [
            ("store-reader", READERS, Arc::clone(&store.reads), None),
            ("store-lists", SLOW_READERS, Arc::clone(&store.slow_reads), Some(gate)),
            ("store-engine", 1, Arc::clone(&store.engine_reads), None),
        ] {
            for _ in 0..threads {
                let (queue, gate) = (Arc::clone(&queue), gate.clone());
                store.start(name, Role::Reader, move |db| {
                    read_loop(db, &queue, gate.as_deref());
                })?;
            }
        }
        Ok(store)
    }

    /// An fsync has failed: nothing is committed any more, and the process must end. What was
    /// acknowledged is safe; a restart reads what the disk really holds.
    pub fn has_stopped(&self) -> bool {
        self.opened.stopped.load(Ordering::Acquire)
    }

    /// What is wrong with the file's pages and tables, in SQLite's words; nothing when it is whole.
    /// Reads all of it.
    pub async fn damage(&self) -> Result<Vec<String>, StoreError> {
        self.run(Kind::SlowRead, SqliteDb::damage).await
    }

    fn start(
        &mut self,
        name: &str,
        role: Role,
        work: impl FnOnce(SqliteDb) + Send + 'static,
    ) -> Result<(), OpenError> {
        let db = self.opened.db(role)?;
        let thread = Builder::new().name(name.to_owned()).spawn(move || work(db));
        self.threads.push(thread.map_err(|e| OpenError::Store {
            path: self.opened.path.clone(),
            source: StoreError::Unavailable(e.to_string()),
        })?);
        Ok(())
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let join = |thread: JoinHandle<()>| {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        };
        // The last connection to close brings the log into the database. Two that close at once may
        // each take the other for the last, and leave it.
        let mut threads = self.threads.drain(..);
        let writer = threads.next();
        for queue in [&self.reads, &self.slow_reads, &self.engine_reads] {
            queue.close();
        }
        threads.for_each(join);
        self.writes.close();
        writer.into_iter().for_each(join);
    }
}

impl Run for SqliteStore {
    async fn run<T, E>(
        &self,
        kind: Kind,
        op: impl FnMut(&mut SqliteDb) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(OpJob { op, result: None, answer });
        match kind {
            Kind::Read => self.reads.push(job, false),
            Kind::EngineRead => self.engine_reads.push(job, false),
            Kind::SlowRead => self.slow_reads.push(job, false),
            Kind::Write => self.writes.push(job, false),
            Kind::BigWrite => self.writes.push(job, true),
        }
        let gone = || StoreError::Internal("the store's thread is gone".to_owned());
        answered.await.unwrap_or_else(|_| Err(gone().into()))
    }
}

/// An operation on its way through a thread.
trait Job: Send {
    /// Runs it in the open transaction; false: it must be undone. Undone with others, it may be
    /// run again.
    fn run(&mut self, db: &mut SqliteDb) -> bool;
    /// Tells whoever waits, when it is known whether the transaction was committed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct OpJob<T, E, F> {
    op: F,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for OpJob<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnMut(&mut SqliteDb) -> Result<T, E> + Send,
{
    fn run(&mut self, db: &mut SqliteDb) -> bool {
        // A panic is a defect of one operation, and is undone like its failure.
        let result = catch_unwind(AssertUnwindSafe(|| (self.op)(db))).unwrap_or_else(|_| {
            Err(StoreError::Internal("an operation of the store panicked".to_owned()).into())
        });
        let ok = result.is_ok();
        self.result = Some(result);
        ok
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.result, committed) {
            (Some(Err(e)), _) => Err(e),
            (Some(ok), Ok(())) => ok,
            (_, Err(e)) => Err(e.into()),
            (None, Ok(())) => Err(StoreError::Internal("an operation did not run".into()).into()),
        };
        // Nobody waits any more: what was done stays done.
        let _ = self.answer.send(answer);
    }
}

type BoxJob = Box<dyn Job>;

/// What waits for a kind of thread.
#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    small: VecDeque<BoxJob>,
    big: VecDeque<BoxJob>,
    closed: bool,
}

impl Queue {
    fn push(&self, job: BoxJob, is_big: bool) {
        let mut state = self.lock();
        if is_big { &mut state.big } else { &mut state.small }.push_back(job);
        drop(state);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// A few big jobs and all small ones up to `limit`; waits for the first. None: closed and
    /// empty.
    fn take(&self, limit: usize) -> Option<(VecDeque<BoxJob>, VecDeque<BoxJob>)> {
        let mut state = self.lock();
        while state.small.is_empty() && state.big.is_empty() {
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some((take_some(&mut state.big, BIG_GROUP), take_some(&mut state.small, limit)))
    }

    /// Small jobs that have come since.
    fn take_small(&self, limit: usize) -> VecDeque<BoxJob> {
        take_some(&mut self.lock().small, limit)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_some(jobs: &mut VecDeque<BoxJob>, limit: usize) -> VecDeque<BoxJob> {
    let rest = jobs.split_off(jobs.len().min(limit));
    std::mem::replace(jobs, rest)
}

fn read_loop(mut db: SqliteDb, queue: &Queue, gate: Option<&Gate>) {
    while let Some((_, jobs)) = queue.take(1) {
        for mut job in jobs {
            if let Some(gate) = gate {
                gate.pass();
            }
            let outcome = db.begin(Begin::Read).map(|()| job.run(&mut db));
            db.end_read();
            job.answer(outcome.map(|_| ()));
        }
    }
}

fn write_loop(mut db: SqliteDb, queue: &Queue, gate: Arc<Gate>) {
    let mut log = Log::of(&mut db, gate, LARGE);
    while let Some((big, small)) = queue.take(GROUP) {
        write_group(&mut db, queue, big, small);
        log.checkpoint(&db);
    }
}

/// One transaction: big operations, then small ones, each of these in a savepoint. The big ones go
/// first and without, because a savepoint would copy every page that they touch: if one of them
/// fails, all are undone and run again one by one, each in a transaction of its own.
fn write_group(
    db: &mut SqliteDb,
    queue: &Queue,
    mut big: VecDeque<BoxJob>,
    mut small: VecDeque<BoxJob>,
) {
    let mut begun = db.begin(Begin::Write);
    if begun.is_ok() && !big.iter_mut().all(|job| job.run(db)) {
        db.rollback();
        for job in big.drain(..) {
            write_alone(db, job);
        }
        begun = db.begin(Begin::Write);
    }
    let mut done: Vec<BoxJob> = Vec::with_capacity(small.len() + big.len());
    done.extend(big);
    small.extend(queue.take_small(GROUP.saturating_sub(small.len())));
    for mut job in small {
        if begun.is_ok() {
            begun = run_small(db, &mut job);
        }
        done.push(job);
    }
    let outcome = begun.and_then(|()| db.commit());
    failpoint("store.committed");
    if outcome.is_err() {
        db.rollback();
    }
    for job in done {
        job.answer(outcome.clone());
    }
}

/// One transaction for one operation.
fn write_alone(db: &mut SqliteDb, mut job: BoxJob) {
    let outcome = db.begin(Begin::Write).and_then(|()| match job.run(db) {
        true => db.commit(),
        false => {
            db.rollback();
            Ok(())
        }
    });
    if outcome.is_err() {
        db.rollback();
    }
    job.answer(outcome);
}

/// Runs one in a savepoint. An error: the whole transaction is gone.
fn run_small(db: &mut SqliteDb, job: &mut BoxJob) -> Result<(), StoreError> {
    db.savepoint()?;
    if job.run(db) {
        return db.release();
    }
    if !db.in_transaction() {
        return Err(StoreError::Unavailable("the transaction was rolled back".to_owned()));
    }
    db.undo()
}
