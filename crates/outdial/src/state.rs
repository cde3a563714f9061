//! The state directory: what this node knows of its database without asking it.
//!
//! One file per database, named after it, to which lines are appended. A line is complete when it
//! ends in ` .`: what a crash left half-written was never acknowledged and is not read. It is
//! written afresh when it is opened and has grown. Nothing in it is secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use outdial_core::id::WorkspaceId;
use outdial_ports::{Standing, Watermark, WatermarkError};
use tokio::sync::oneshot;

/// A file of more lines than this is written afresh at the next opening.
const LINES_MAX: usize = 10_000;

/// What is known of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The highest version seen acknowledged.
    pub(crate) seen: BTreeMap<WorkspaceId, u64>,
    /// Workspaces in which the database was found to be an older copy.
    pub(crate) older: BTreeSet<WorkspaceId>,
}

impl Marks {
    fn read(text: &str) -> (Self, usize) {
        let (mut marks, mut lines) = (Self::default(), 0);
        for line in text.lines().filter(|line| !line.is_empty()) {
            lines += 1;
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["seen", ws, version, "."] => {
                    if let (Ok(ws), Ok(version)) = (ws.parse(), version.parse::<u64>()) {
                        let seen = marks.seen.entry(ws).or_default();
                        *seen = version.max(*seen);
                    }
                }
                ["older", ws, "."] => {
                    marks.older.extend(ws.parse::<WorkspaceId>());
                }
                ["accepted", ws, version, "."] => {
                    if let (Ok(ws), Ok(version)) = (ws.parse(), version.parse()) {
                        marks.older.remove(&ws);
                        marks.seen.insert(ws, version);
                    }
                }
                // Half a line, or one of a later version.
                _ => {}
            }
        }
        (marks, lines)
    }

    /// So many lines say it, written afresh.
    fn lines(&self) -> usize {
        self.seen.len() + self.older.len()
    }

    fn text(&self) -> String {
        let seen = self.seen.iter().map(|(ws, version)| seen_line(*ws, *version));
        seen.chain(self.older.iter().map(|ws| older_line(*ws))).collect()
    }
}

fn seen_line(ws: WorkspaceId, version: u64) -> String {
    format!("seen {ws} {version} .\n")
}

fn older_line(ws: WorkspaceId) -> String {
    format!("older {ws} .\n")
}

/// The file of one database.
#[derive(Clone, Debug)]
pub(crate) struct StateFile(PathBuf);

impl StateFile {
    /// In `directory`, of the database with this name (a hash of its own secret).
    pub(crate) fn new(directory: &Path, database: &str) -> Self {
        Self(directory.join(format!("{database}.marks")))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What it says; nothing when it is not there.
    pub(crate) fn read(&self) -> io::Result<Marks> {
        Ok(self.load()?.0)
    }

    fn load(&self) -> io::Result<(Marks, usize)> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Ok(Marks::read(&text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((Marks::default(), 0)),
            Err(e) => Err(e),
        }
    }

    /// The operator accepts the database as it is. Appended, so that a process which has the file
    /// open goes on with it.
    pub(crate) fn accept(&self, versions: &BTreeMap<WorkspaceId, u64>) -> io::Result<()> {
        let line = |(ws, version): (&WorkspaceId, &u64)| format!("accepted {ws} {version} .\n");
        // What a crash left half-written must not swallow the first line.
        let lines: String =
            std::iter::once("\n".to_owned()).chain(versions.iter().map(line)).collect();
        let mut file = OpenOptions::new().append(true).open(&self.0)?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()
    }

    /// Replaces what it says, as one atom.
    fn replace(&self, marks: &Marks) -> io::Result<()> {
        let directory = self.0.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let fresh = self.0.with_extension("fresh");
        let mut file = File::create(&fresh)?;
        file.write_all(marks.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.0)?;
        File::open(directory)?.sync_all()
    }

    /// Changes with every change of the file by somebody else.
    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let meta = fs::metadata(&self.0).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    }
}

/// A line to append, and who waits for it.
struct Append {
    line: String,
    done: oneshot::Sender<io::Result<()>>,
}

/// The watermark of a process that serves a database.
pub(crate) struct FileWatermark {
    file: StateFile,
    known: Arc<Mutex<Marks>>,
    /// The file as it was when an older copy was last compared with it.
    looked: Mutex<Option<(SystemTime, u64)>>,
    appends: Sender<Append>,
    health: Arc<Health>,
}

/// How the file takes what is appended.
#[derive(Default)]
struct Health {
    /// The latest line was not written; the next may be.
    failing: AtomicBool,
    /// A sync failed: nothing is written any more.
    stopped: AtomicBool,
}

impl FileWatermark {
    /// Reads the file and starts the thread that appends to it.
    pub(crate) fn open(file: StateFile) -> io::Result<Self> {
        let (marks, lines) = file.load()?;
        if lines == 0 || lines > LINES_MAX || lines != marks.lines() {
            file.replace(&marks)?;
        }
        let append = OpenOptions::new().append(true).open(file.path())?;
        let (appends, queue) = channel();
        let health = Arc::<Health>::default();
        std::thread::Builder::new().name("state".to_owned()).spawn({
            let health = Arc::clone(&health);
            move || append_all(append, &queue, &health)
        })?;
        let (known, looked) = (Arc::new(Mutex::new(marks)), Mutex::default());
        Ok(Self { file, known, looked, appends, health })
    }

    /// A sync has failed: nothing may leave any more, and the process must end.
    pub(crate) fn has_stopped(&self) -> bool {
        self.health.stopped.load(Ordering::Acquire)
    }

    async fn append(&self, line: String) -> Result<(), WatermarkError> {
        let (done, answered) = oneshot::channel();
        let gone = || WatermarkError("its thread is gone".to_owned());
        self.appends.send(Append { line, done }).map_err(|_| gone())?;
        let written = answered.await.map_err(|_| gone())?;
        written.map_err(|e| WatermarkError(e.to_string()))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Marks> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads again what the operator may have changed since.
    fn look_again(&self) -> Result<(), WatermarkError> {
        let stamp = self.file.stamp();
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if *looked != stamp {
            *self.known() = self.file.read().map_err(|e| WatermarkError(e.to_string()))?;
            *looked = stamp;
        }
        Ok(())
    }
}

#[async_trait]
impl Watermark for FileWatermark {
    async fn compare(&self, ws: WorkspaceId, version: u64) -> Result<Standing, WatermarkError> {
        if self.health.failing.load(Ordering::Acquire) {
            // Before anything is committed that could not be noted, and would be given back unsent.
            self.append("\n".to_owned()).await?;
        }
        let (seen, was_older) = {
            let known = self.known();
            (known.seen.get(&ws).copied().unwrap_or(0), known.older.contains(&ws))
        };
        if was_older {
            self.look_again()?;
            let known = self.known();
            let seen = known.seen.get(&ws).copied().unwrap_or(0);
            return Ok(match known.older.contains(&ws) {
                true => Standing::Older { seen },
                false => Standing::Current,
            });
        }
        if version >= seen {
            return Ok(Standing::Current);
        }
        self.append(older_line(ws)).await?;
        self.known().older.insert(ws);
        Ok(Standing::Older { seen })
    }

    async fn note(&self, ws: WorkspaceId, version: u64) -> Result<(), WatermarkError> {
        self.append(seen_line(ws, version)).await?;
        let mut known = self.known();
        let seen = known.seen.entry(ws).or_default();
        *seen = version.max(*seen);
        Ok(())
    }
}

/// Writes what waits, syncs once for all of it, answers. What could not be written (no room) may be
/// written later. A failed sync is never tried again: every later line fails too.
fn append_all(mut file: File, queue: &Receiver<Append>, health: &Health) {
    // Set for good by a sync.
    let mut failed: Option<io::ErrorKind> = None;
    while let Ok(first) = queue.recv() {
        let group: Vec<Append> = std::iter::once(first).chain(queue.try_iter()).collect();
        let was_failing = health.failing.load(Ordering::Acquire);
        // Half a line may be there, of a crash or of somebody else, and swallow the first of these.
        let lines: String =
            std::iter::once("\n").chain(group.iter().map(|a| a.line.as_str())).collect();
        let result = match failed {
            Some(kind) => Err(kind),
            None => file.write_all(lines.as_bytes()).map_err(|e| e.kind()).and_then(|()| {
                file.sync_data().map_err(|e| {
                    tracing::error!(error = %e, "the state directory keeps nothing more");
                    failed = Some(e.kind());
                    health.stopped.store(true, Ordering::Release);
                    e.kind()
                })
            }),
        };
        if result.is_err() != was_failing {
            health.failing.store(result.is_err(), Ordering::Release);
            match result {
                Ok(()) => tracing::info!("the state directory takes what is written again"),
                Err(error) => tracing::error!(%error, "nothing leaves: it cannot be noted"),
            }
        }
        for append in group {
            let _nobody_waits = append.done.send(result.map_err(io::Error::from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ws(n: u64) -> WorkspaceId {
        WorkspaceId::from_parts(1, n)
    }

    fn open(dir: &Path) -> FileWatermark {
        FileWatermark::open(StateFile::new(dir, "db")).unwrap()
    }

    #[tokio::test]
    async fn an_older_copy_stays_one_until_it_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let marks = open(dir.path());
        assert_eq!(marks.compare(ws(1), 7).await, Ok(Standing::Current));
        marks.note(ws(1), 8).await.unwrap();
        assert_eq!(marks.compare(ws(1), 8).await, Ok(Standing::Current));
        assert_eq!(marks.compare(ws(1), 7).await, Ok(Standing::Older { seen: 8 }));
        assert_eq!(marks.compare(ws(1), 99).await, Ok(Standing::Older { seen: 8 }), "grown since");
        assert_eq!(marks.compare(ws(2), 1).await, Ok(Standing::Current), "another's");
        drop(marks);

        let marks = open(dir.path());
        assert_eq!(marks.compare(ws(1), 100).await, Ok(Standing::Older { seen: 8 }), "a restart");
        let file = StateFile::new(dir.path(), "db");
        file.accept(&BTreeMap::from([(ws(1), 3)])).unwrap();
        assert_eq!(marks.compare(ws(1), 100).await, Ok(Standing::Current), "without a restart");
        marks.note(ws(1), 4).await.unwrap();
        drop(marks);
        let marks = open(dir.path());
        assert_eq!(marks.compare(ws(1), 4).await, Ok(Standing::Current));
        assert_eq!(marks.compare(ws(1), 3).await, Ok(Standing::Older { seen: 4 }));
    }

    #[tokio::test]
    async fn half_a_line_was_never_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let marks = open(dir.path());
        marks.note(ws(1), 5).await.unwrap();
        drop(marks);
        let path = dir.path().join("db.marks");
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("seen 000000010000000000000001 9999");
        fs::write(&path, text).unwrap();
        assert_eq!(open(dir.path()).compare(ws(1), 5).await, Ok(Standing::Current));
        // One that lacks nothing but the end of the line does not swallow the next.
        fs::write(&path, "seen 000000010000000000000001 5 .").unwrap();
        let marks = open(dir.path());
        marks.note(ws(1), 6).await.unwrap();
        drop(marks);
        assert_eq!(open(dir.path()).compare(ws(1), 5).await, Ok(Standing::Older { seen: 6 }));
    }
}
