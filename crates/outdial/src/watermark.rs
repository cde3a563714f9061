//! The marks of a process that serves a database, kept in the state directory (`state`).
//!
//! Nothing is told as noted that is not synced, and no sync is tried again after one that failed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use async_trait::async_trait;
use outdial_core::id::WorkspaceId;
use outdial_ports::{Entropy, Mark, Noted, Watermark, WatermarkError};
use tokio::sync::oneshot;

use crate::state::{Entry, Marks, NodeId, NotReplaced, StateFiles};

/// After so many lines more than it needs, the file is written afresh.
const LINES_MAX: usize = 10_000;

/// The watermark of a process that serves a database.
pub(crate) struct FileWatermark {
    files: StateFiles,
    known: Arc<Mutex<Marks>>,
    appends: Sender<Append>,
    health: Arc<Health>,
    thread: JoinHandle<()>,
    /// Held, never read: the lock ends with the file.
    _lock: File,
}

/// How the file takes what is appended.
#[derive(Default)]
struct Health {
    /// The latest line was not written; the next may be.
    failing: AtomicBool,
    /// A sync failed: nothing is written any more.
    stopped: AtomicBool,
}

/// A mark to append, or nothing but a try; and who waits for it.
struct Append {
    mark: Option<(WorkspaceId, Mark)>,
    done: oneshot::Sender<io::Result<()>>,
}

impl FileWatermark {
    /// Reads the marks and starts the thread that appends to them. When there are none, those of
    /// `lost` are: the workspaces of a database that has dialed.
    pub(crate) fn open(
        files: StateFiles,
        lost: &[WorkspaceId],
        entropy: &dyn Entropy,
    ) -> Result<Self> {
        Self::open_with(files, lost, entropy, LINES_MAX)
    }

    fn open_with(
        files: StateFiles,
        lost: &[WorkspaceId],
        entropy: &dyn Entropy,
        lines_max: usize,
    ) -> Result<Self> {
        let lock = files.lock()?;
        let path = files.marks();
        let cannot = || format!("the marks {} cannot be kept", path.display());
        let (marks, file, lines) = match files.read().with_context(cannot)? {
            Some((marks, lines)) if lines <= lines_max => {
                let file = OpenOptions::new().append(true).open(&path).with_context(cannot)?;
                (marks, file, lines)
            }
            read => {
                let marks = read.map_or_else(|| Marks::lost(lost, entropy), |(marks, _)| marks);
                let file = files.replace(&marks).map_err(io::Error::from).with_context(cannot)?;
                let lines = marks.lines();
                (marks, file, lines)
            }
        };
        let known = Arc::new(Mutex::new(marks));
        let health = Arc::<Health>::default();
        let keeper = Keeper {
            files: files.clone(),
            file,
            known: Arc::clone(&known),
            health: Arc::clone(&health),
            lines,
            lines_max,
            afresh_at: lines.max(lines_max),
            failed: None,
        };
        let (appends, queue) = channel();
        let thread = std::thread::Builder::new().name("state".to_owned());
        let thread = thread.spawn(move || keeper.keep(&queue)).with_context(cannot)?;
        Ok(Self { files, known, appends, health, thread, _lock: lock })
    }

    /// Which node it is that keeps these marks.
    pub(crate) fn node(&self, entropy: &dyn Entropy) -> io::Result<NodeId> {
        self.files.node(entropy)
    }

    /// Where it keeps them.
    pub(crate) fn files(&self) -> &StateFiles {
        &self.files
    }

    /// A sync has failed, or the thread has ended: nothing may leave any more, and the process must
    /// end.
    pub(crate) fn has_stopped(&self) -> bool {
        self.health.stopped.load(Ordering::Acquire) || self.thread.is_finished()
    }

    async fn append(&self, mark: Option<(WorkspaceId, Mark)>) -> Result<(), WatermarkError> {
        let (done, answered) = oneshot::channel();
        let gone = || WatermarkError("its thread is gone".to_owned());
        self.appends.send(Append { mark, done }).map_err(|_| gone())?;
        let written = answered.await.map_err(|_| gone())?;
        written.map_err(|e| WatermarkError(e.to_string()))
    }

    fn latest_of(&self, ws: WorkspaceId) -> Option<Entry> {
        locked(&self.known).latest(ws)
    }
}

fn locked(known: &Mutex<Marks>) -> MutexGuard<'_, Marks> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Watermark for FileWatermark {
    async fn latest(&self, ws: WorkspaceId) -> Result<Noted, WatermarkError> {
        if self.health.failing.load(Ordering::Acquire) {
            // Before anything is committed that could not be noted, and would be given back unsent.
            self.append(None).await?;
        }
        Ok(self.latest_of(ws).map_or(Noted::Nothing, Entry::noted))
    }

    async fn is_accepted(&self, ws: WorkspaceId) -> Result<bool, WatermarkError> {
        let Some(entry) = self.latest_of(ws) else { return Ok(false) };
        let accepted = self.files.accepted().map_err(|e| WatermarkError(e.to_string()))?;
        Ok(accepted.contains(&(ws, entry.token())))
    }

    async fn note(&self, ws: WorkspaceId, mark: Mark) -> Result<(), WatermarkError> {
        self.append(Some((ws, mark))).await
    }
}

/// The thread that writes the marks.
struct Keeper {
    files: StateFiles,
    file: File,
    known: Arc<Mutex<Marks>>,
    health: Arc<Health>,
    /// Of the file.
    lines: usize,
    lines_max: usize,
    /// With more of them it is written afresh.
    afresh_at: usize,
    /// Set for good by a sync.
    failed: Option<io::ErrorKind>,
}

impl Keeper {
    /// Writes what waits, syncs once for all of it, answers. What could not be written (no room)
    /// may be written later.
    fn keep(mut self, queue: &Receiver<Append>) {
        while let Ok(first) = queue.recv() {
            let group: Vec<Append> = std::iter::once(first).chain(queue.try_iter()).collect();
            let result = self.write(&group);
            self.tell(result);
            for append in group {
                let _nobody_waits = append.done.send(result.map_err(io::Error::from));
            }
            if self.lines > self.afresh_at && self.failed.is_none() {
                self.write_afresh();
            }
        }
    }

    fn write(&mut self, group: &[Append]) -> Result<(), io::ErrorKind> {
        if let Some(kind) = self.failed {
            return Err(kind);
        }
        if !self.is_in_place() {
            // A mark in a file that is gone outlives nothing.
            self.replace().map_err(|e| e.kind())?;
            tracing::error!("somebody took the marks away: they are written again");
        }
        let marks = || group.iter().filter_map(|append| append.mark);
        // Half a line may be there, of a crash or of a full disk, and swallow the first of these.
        let lines: String = std::iter::once("\n".to_owned())
            .chain(marks().map(|(ws, mark)| Entry::Mark(mark).line(ws)))
            .collect();
        self.file.write_all(lines.as_bytes()).map_err(|e| e.kind())?;
        self.file.sync_data().map_err(|e| self.stop(&e))?;
        self.lines += marks().count();
        let mut known = locked(&self.known);
        marks().for_each(|(ws, mark)| known.note(ws, Entry::Mark(mark)));
        Ok(())
    }

    /// The file is still the one that the next start will read.
    fn is_in_place(&self) -> bool {
        let same = |there: fs::Metadata, ours: fs::Metadata| {
            (there.dev(), there.ino()) == (ours.dev(), ours.ino())
        };
        let there = fs::metadata(self.files.marks());
        there.and_then(|there| Ok(same(there, self.file.metadata()?))).unwrap_or(false)
    }

    /// Nothing but the latest marks, because the file has grown.
    fn write_afresh(&mut self) {
        if let Err(error) = self.replace() {
            match self.failed {
                Some(kind) => self.tell(Err(kind)),
                None => {
                    tracing::warn!(%error, "the marks are not written afresh, and the file grows");
                }
            }
        }
        self.afresh_at = self.lines + self.lines_max;
    }

    /// Nothing but the latest marks, in a new file.
    fn replace(&mut self) -> io::Result<()> {
        let marks = locked(&self.known).clone();
        match self.files.replace(&marks) {
            Ok(file) => (self.file, self.lines) = (file, marks.lines()),
            Err(NotReplaced::Unchanged(error)) => return Err(error),
            Err(NotReplaced::Unsynced(error)) => {
                self.stop(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn stop(&mut self, error: &io::Error) -> io::ErrorKind {
        tracing::error!(%error, "the state directory keeps nothing more");
        self.failed = Some(error.kind());
        self.health.stopped.store(true, Ordering::Release);
        error.kind()
    }

    fn tell(&self, result: Result<(), io::ErrorKind>) {
        let was_failing = self.health.failing.swap(result.is_err(), Ordering::AcqRel);
        match result {
            Ok(()) if was_failing => {
                tracing::info!("the state directory takes what is written again");
            }
            Err(error) if !was_failing => {
                tracing::error!(%error, "nothing leaves: it cannot be noted");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::time::Duration;

    use outdial_core::id::AttemptId;
    use tempfile::TempDir;

    use super::*;
    use crate::entropy::OsEntropy;

    fn ws(n: u64) -> WorkspaceId {
        WorkspaceId::from_parts(1, n)
    }

    fn mark(n: u8) -> Mark {
        Mark { attempt: AttemptId::from_parts(2, u64::from(n)), token: [n; 16] }
    }

    fn files(dir: &TempDir) -> StateFiles {
        StateFiles::new(dir.path(), "db")
    }

    fn open(dir: &TempDir, lost: &[WorkspaceId]) -> FileWatermark {
        // The thread of the one before may still hold nothing but its file; the lock is free.
        FileWatermark::open_with(files(dir), lost, &OsEntropy, 10).unwrap()
    }

    async fn latest(marks: &FileWatermark, n: u64) -> Noted {
        marks.latest(ws(n)).await.unwrap()
    }

    #[tokio::test]
    async fn the_latest_mark_of_each_workspace_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let marks = open(&dir, &[]);
        assert_eq!(latest(&marks, 1).await, Noted::Nothing);
        marks.note(ws(1), mark(7)).await.unwrap();
        marks.note(ws(1), mark(8)).await.unwrap();
        marks.note(ws(2), mark(9)).await.unwrap();
        assert_eq!(latest(&marks, 1).await, Noted::Mark(mark(8)));
        drop(marks);
        let marks = open(&dir, &[ws(1)]);
        assert_eq!(latest(&marks, 1).await, Noted::Mark(mark(8)));
        assert_eq!(latest(&marks, 2).await, Noted::Mark(mark(9)));
        assert_eq!(latest(&marks, 3).await, Noted::Nothing);
    }

    #[tokio::test]
    async fn marks_that_are_gone_are_lost_until_accepted_or_superseded() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(&dir, &[ws(1), ws(2)]));
        // The loss itself is remembered.
        let marks = open(&dir, &[]);
        assert_eq!(latest(&marks, 1).await, Noted::Lost);
        assert!(!marks.is_accepted(ws(1)).await.unwrap());
        let (known, _) = files(&dir).read().unwrap().unwrap();
        let token = known.latest(ws(1)).unwrap().token();
        files(&dir).accept(&BTreeMap::from([(ws(1), token)])).unwrap();
        assert!(marks.is_accepted(ws(1)).await.unwrap(), "without a restart");
        assert!(!marks.is_accepted(ws(2)).await.unwrap(), "another's");
        marks.note(ws(1), mark(7)).await.unwrap();
        assert_eq!(latest(&marks, 1).await, Noted::Mark(mark(7)));
        assert!(!marks.is_accepted(ws(1)).await.unwrap(), "it was accepted for what was lost only");
        assert_eq!(latest(&marks, 2).await, Noted::Lost);
    }

    #[tokio::test]
    async fn a_file_that_has_grown_is_written_afresh_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let marks = open(&dir, &[ws(3)]);
        let lines = || fs::read_to_string(files(&dir).marks()).unwrap().lines().count();
        for n in 0..100 {
            marks.note(ws(1 + u64::from(n % 2)), mark(n)).await.unwrap();
            // Each mark, and an empty line before it.
            assert!(lines() <= 2 * (10 + 4), "{} lines after {n}", lines());
        }
        drop(marks);
        let marks = open(&dir, &[]);
        assert_eq!(latest(&marks, 1).await, Noted::Mark(mark(98)));
        assert_eq!(latest(&marks, 2).await, Noted::Mark(mark(99)));
        assert_eq!(latest(&marks, 3).await, Noted::Lost);
    }

    #[tokio::test]
    async fn without_room_to_write_it_afresh_the_old_file_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let marks = open(&dir, &[]);
        // Nothing can be made under this name.
        fs::create_dir(dir.path().join("db.fresh")).unwrap();
        for n in 0..50 {
            marks.note(ws(1), mark(n)).await.unwrap();
        }
        assert!(!marks.has_stopped());
        drop(marks);
        let (known, lines) = files(&dir).read().unwrap().unwrap();
        assert_eq!((known.latest(ws(1)), lines), (Some(Entry::Mark(mark(49))), 51));
    }

    #[tokio::test]
    async fn marks_that_are_taken_away_meanwhile_are_written_again_or_nothing_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let marks = open(&dir, &[ws(3)]);
        marks.note(ws(1), mark(1)).await.unwrap();
        fs::remove_file(files(&dir).marks()).unwrap();
        marks.note(ws(2), mark(2)).await.unwrap();
        let read = || files(&dir).read().unwrap().unwrap().0;
        let all = [1, 2].map(|n| read().latest(ws(n.into())) == Some(Entry::Mark(mark(n))));
        assert_eq!((all, read().latest(ws(3)).is_some()), ([true, true], true));

        // Something else in its place is not what this process knows.
        fs::rename(files(&dir).marks(), dir.path().join("aside")).unwrap();
        fs::write(files(&dir).marks(), "marks 1 .\n").unwrap();
        marks.note(ws(2), mark(4)).await.unwrap();
        assert_eq!(read().latest(ws(1)), Some(Entry::Mark(mark(1))));
        assert_eq!(read().latest(ws(2)), Some(Entry::Mark(mark(4))));

        let gone = dir.path().join("gone");
        let files = StateFiles::new(&gone, "db");
        let marks = FileWatermark::open_with(files.clone(), &[], &OsEntropy, 10).unwrap();
        fs::remove_dir_all(&gone).unwrap();
        assert!(marks.note(ws(1), mark(5)).await.is_err());
        assert!(marks.latest(ws(1)).await.is_err(), "nothing is committed meanwhile");
        fs::create_dir(&gone).unwrap();
        assert_eq!(latest(&marks, 1).await, Noted::Nothing);
        marks.note(ws(1), mark(6)).await.unwrap();
        assert_eq!(files.read().unwrap().unwrap().0.latest(ws(1)), Some(Entry::Mark(mark(6))));
        assert!(!marks.has_stopped());
    }

    #[tokio::test]
    async fn without_its_thread_it_has_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = open(&dir, &[]);
        marks.note(ws(1), mark(1)).await.unwrap();
        assert!(!marks.has_stopped());
        marks.appends = channel().0;
        let limit = Duration::from_secs(30);
        let ended = async {
            while !marks.has_stopped() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(limit, ended).await.expect("it has stopped");
        assert!(marks.note(ws(1), mark(2)).await.is_err());
    }

    #[tokio::test]
    async fn half_a_line_swallows_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let marks = open(&dir, &[]);
        marks.note(ws(1), mark(5)).await.unwrap();
        drop(marks);
        let path = files(&dir).marks();
        let line = Entry::Mark(mark(6)).line(ws(1));
        fs::write(&path, fs::read_to_string(&path).unwrap() + &line[..20]).unwrap();
        let marks = open(&dir, &[]);
        assert_eq!(latest(&marks, 1).await, Noted::Mark(mark(5)));
        marks.note(ws(1), mark(7)).await.unwrap();
        drop(marks);
        assert_eq!(latest(&open(&dir, &[]), 1).await, Noted::Mark(mark(7)));
    }
}
