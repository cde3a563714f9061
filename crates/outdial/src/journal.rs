//! The journal of a process that serves a database: `NAME.ends` in the state directory (`state`).
//!
//! Lines like those of the marks, ending in ` .`; what a crash left half-written is not read. The
//! file has room in advance, so that a full disk does not take the last words of live calls; what
//! is not written is line feeds. It must never tell an end as kept that is not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use async_trait::async_trait;
use outdial_core::attempt::{AttemptEnd, AttemptState};
use outdial_core::id::AttemptId;
use outdial_core::outcome::{Disposition, Fault, Outcome, RetryClass};
use outdial_core::time::Timestamp;
use outdial_ports::{Journal, JournalError, KeptEnd};
use tokio::sync::oneshot;

use crate::state::{StateFiles, hex, unhex};

/// Room made in advance, in bytes: for more than a thousand ends.
const ROOM: usize = 256 * 1024;
/// The file never has more bytes; an end has less than 300.
const MOST: u64 = 32 * 1024 * 1024;
/// Most different reasons that are read.
const REASONS: usize = 256;

type Kept = BTreeMap<AttemptId, KeptEnd>;

/// The journal in a file.
pub(crate) struct FileJournal {
    kept: Arc<Mutex<Kept>>,
    asks: Sender<Ask>,
}

enum Ask {
    Keep(KeptEnd, oneshot::Sender<io::Result<()>>),
    /// Something was forgotten.
    Tidy,
}

impl FileJournal {
    /// Reads what is there and starts the thread that writes; for who holds the lock of the files.
    pub(crate) fn open(files: &StateFiles) -> Result<Self> {
        let path = files.ends();
        let cannot = || format!("the journal {} cannot be kept", path.display());
        let (file, kept, end) = open(&path).with_context(cannot)?;
        if !kept.is_empty() {
            tracing::info!(ends = kept.len(), "the journal holds ends of calls");
        }
        let kept = Arc::new(Mutex::new(kept));
        let keeper = Keeper { file, end, kept: Arc::clone(&kept), failed: None };
        let (asks, queue) = channel();
        let thread = std::thread::Builder::new().name("journal".to_owned());
        thread.spawn(move || keeper.run(&queue)).with_context(cannot)?;
        Ok(Self { kept, asks })
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn keep(&self, kept: KeptEnd) -> Result<(), JournalError> {
        let (done, answered) = oneshot::channel();
        let gone = || JournalError("its thread is gone".to_owned());
        self.asks.send(Ask::Keep(kept, done)).map_err(|_| gone())?;
        let written = answered.await.map_err(|_| gone())?;
        written.map_err(|e| JournalError(e.to_string()))
    }

    fn kept(&self, attempt: AttemptId) -> Option<KeptEnd> {
        locked(&self.kept).get(&attempt).cloned()
    }

    fn list(&self, after: Option<AttemptId>, limit: usize) -> Vec<AttemptId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let kept = locked(&self.kept);
        kept.range((from, Bound::Unbounded)).take(limit).map(|(id, _)| *id).collect()
    }

    fn forget(&self, attempt: AttemptId) {
        if locked(&self.kept).remove(&attempt).is_some() {
            // If nobody listens, what is forgotten is found over at the next start.
            let _nobody = self.asks.send(Ask::Tidy);
        }
    }
}

fn locked(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file with room in it, what it holds, and where its last line ends.
fn open(path: &Path) -> io::Result<(File, Kept, u64)> {
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).read(true).write(true).open(path)?;
    let bytes = std::fs::read(path)?;
    let used = bytes.iter().rposition(|byte| *byte != b'\n').map_or(0, |last| last + 1);
    let mut reasons = BTreeSet::new();
    let text = String::from_utf8_lossy(&bytes[..used]);
    let ends = text.lines().filter_map(|line| read_line(line, &mut reasons));
    let kept = ends.map(|end| (end.attempt, end)).collect();
    if bytes.len() < ROOM {
        let room = vec![b'\n'; ROOM - bytes.len()];
        let at = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // Without room the journal is as good as the disk.
        if let Err(error) = file.write_all_at(&room, at) {
            tracing::warn!(%error, "no room is kept for the journal");
        }
    }
    file.sync_all()?;
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(directory)?.sync_all()?;
    }
    Ok((file, kept, u64::try_from(used).unwrap_or(u64::MAX)))
}

/// The thread that writes the journal.
struct Keeper {
    file: File,
    /// Where the next line goes.
    end: u64,
    kept: Arc<Mutex<Kept>>,
    /// A sync failed: nothing is written any more.
    failed: Option<io::ErrorKind>,
}

impl Keeper {
    /// Writes what waits, syncs once for all of it, answers.
    fn run(mut self, queue: &Receiver<Ask>) {
        while let Ok(first) = queue.recv() {
            let (mut ends, mut waiting) = (Vec::new(), Vec::new());
            for ask in std::iter::once(first).chain(queue.try_iter()) {
                if let Ask::Keep(kept, done) = ask {
                    ends.push(kept);
                    waiting.push(done);
                }
            }
            let result = if ends.is_empty() { Ok(()) } else { self.write(&ends) };
            if result.is_ok() {
                locked(&self.kept).extend(ends.into_iter().map(|end| (end.attempt, end)));
            }
            for done in waiting {
                let _nobody_waits = done.send(result.map_err(io::Error::from));
            }
            self.tidy();
        }
    }

    fn write(&mut self, ends: &[KeptEnd]) -> Result<(), io::ErrorKind> {
        if let Some(kind) = self.failed {
            return Err(kind);
        }
        // Half a line may be there, and swallow the first of these.
        let lines: String =
            std::iter::once("\n".to_owned()).chain(ends.iter().map(line_of)).collect();
        let end = self.end.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        if end > MOST {
            return Err(io::ErrorKind::FileTooLarge);
        }
        self.file.write_all_at(lines.as_bytes(), self.end).map_err(|e| e.kind())?;
        self.file.sync_data().map_err(|error| {
            tracing::error!(%error, "the journal keeps nothing more");
            self.failed = Some(error.kind());
            error.kind()
        })?;
        self.end = end;
        Ok(())
    }

    /// When nothing is kept any more, the file is nothing but room again. Not synced: a crash may
    /// bring back ends, and they are found over.
    fn tidy(&mut self) {
        if self.end == 0 || self.failed.is_some() || !locked(&self.kept).is_empty() {
            return;
        }
        let room = vec![b'\n'; usize::try_from(self.end).unwrap_or(usize::MAX).min(ROOM)];
        let len = u64::try_from(ROOM).unwrap_or(u64::MAX);
        let longer = self.end > len;
        let cleared = self.file.write_all_at(&room, 0);
        match cleared.and_then(|()| if longer { self.file.set_len(len) } else { Ok(()) }) {
            Ok(()) => self.end = 0,
            Err(error) => tracing::warn!(%error, "the journal is not cleared, and grows"),
        }
    }
}

/// Its line, with its end.
fn line_of(kept: &KeptEnd) -> String {
    let KeptEnd { attempt, token, end } = kept;
    let outcome = &end.outcome;
    let at = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.as_millis().to_string());
    let status = end.sip_status.map_or("-".to_owned(), |status| status.to_string());
    format!(
        "end {attempt} {} {} {} {} {} {} {} {} {status} {} {} {} {} .\n",
        hex(*token),
        end.state.as_str(),
        outcome.disposition.as_str(),
        outcome.fault.as_str(),
        retry_word(outcome.retry),
        outcome.reason,
        u8::from(outcome.charged),
        u8::from(outcome.picked),
        at(end.sent_at),
        at(end.ringing_at),
        at(end.answered_at),
        end.ended_at.as_millis(),
    )
}

/// None: half a line, or one of another version.
fn read_line(line: &str, reasons: &mut BTreeSet<&'static str>) -> Option<KeptEnd> {
    let words: Vec<&str> = line.split(' ').collect();
    let [
        "end",
        attempt,
        token,
        state,
        disposition,
        fault,
        retry,
        reason,
        charged,
        picked,
        status,
        sent,
        ringing,
        answered,
        ended,
        ".",
    ] = words[..]
    else {
        return None;
    };
    let state = AttemptState::parse(state).filter(|state| state.is_over())?;
    let outcome = Outcome {
        disposition: Disposition::parse(disposition)?,
        fault: [Fault::None, Fault::Callee, Fault::Carrier, Fault::Local]
            .into_iter()
            .find(|known| known.as_str() == fault)?,
        retry: retry_of(retry)?,
        reason: interned(reason, reasons)?,
        charged: flag(charged)?,
        picked: flag(picked)?,
    };
    let end = AttemptEnd {
        state,
        outcome,
        sip_status: if status == "-" { None } else { Some(status.parse().ok()?) },
        sent_at: instant(sent)?,
        ringing_at: instant(ringing)?,
        answered_at: instant(answered)?,
        ended_at: instant(ended)??,
    };
    Some(KeptEnd { attempt: attempt.parse().ok()?, token: unhex(token)?, end })
}

fn flag(word: &str) -> Option<bool> {
    match word {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// The outer none: it is no instant.
fn instant(word: &str) -> Option<Option<Timestamp>> {
    match word {
        "-" => Some(None),
        _ => Some(Some(Timestamp::from_millis(word.parse().ok()?))),
    }
}

/// A reason, for as long as the process lives; of few different ones, so few are left behind.
fn interned(word: &str, known: &mut BTreeSet<&'static str>) -> Option<&'static str> {
    if let Some(known) = known.get(word) {
        return Some(known);
    }
    let is_word = word.len() <= 64 && !word.is_empty() && word.is_ascii();
    (is_word && known.len() < REASONS).then(|| {
        let word: &'static str = Box::leak(word.to_owned().into_boxed_str());
        known.insert(word);
        word
    })
}

fn retry_word(retry: RetryClass) -> String {
    match retry {
        RetryClass::Never => "never".to_owned(),
        RetryClass::Policy => "policy".to_owned(),
        RetryClass::IfVoicemail => "if_voicemail".to_owned(),
        RetryClass::IfUnknown => "if_unknown".to_owned(),
        RetryClass::Uncharged { retry_after: None } => "uncharged".to_owned(),
        RetryClass::Uncharged { retry_after: Some(after) } => {
            format!("uncharged:{}", after.as_millis())
        }
        RetryClass::Redirected => "redirected".to_owned(),
        RetryClass::AtOnce => "at_once".to_owned(),
    }
}

fn retry_of(word: &str) -> Option<RetryClass> {
    Some(match word {
        "never" => RetryClass::Never,
        "policy" => RetryClass::Policy,
        "if_voicemail" => RetryClass::IfVoicemail,
        "if_unknown" => RetryClass::IfUnknown,
        "uncharged" => RetryClass::Uncharged { retry_after: None },
        "redirected" => RetryClass::Redirected,
        "at_once" => RetryClass::AtOnce,
        _ => {
            let ms: u64 = word.strip_prefix("uncharged:")?.parse().ok()?;
            RetryClass::Uncharged { retry_after: Some(std::time::Duration::from_millis(ms)) }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use outdial_core::outcome::{CallEnd, hung_up_unanswered, outcome_of};
    use tempfile::TempDir;

    use super::*;

    fn files(dir: &TempDir) -> StateFiles {
        StateFiles::new(dir.path(), "db")
    }

    fn kept(n: u64, outcome: Outcome) -> KeptEnd {
        let at = |ms: i64| Some(Timestamp::from_millis(1_700_000_000_000 + ms));
        let end = AttemptEnd {
            state: AttemptState::Ended,
            outcome,
            sip_status: Some(486).filter(|_| n.is_multiple_of(2)),
            sent_at: at(1),
            ringing_at: at(2).filter(|_| n.is_multiple_of(3)),
            answered_at: None,
            ended_at: at(3).unwrap(),
        };
        KeptEnd { attempt: AttemptId::from_parts(2, n), token: [7; 16], end }
    }

    fn outcomes() -> Vec<Outcome> {
        let refused = |status, after: Option<u64>| CallEnd::Refused {
            status,
            q850: None,
            retry_after: after.map(Duration::from_millis),
        };
        let ends = [
            CallEnd::TalkOver,
            CallEnd::MachineOver,
            CallEnd::Silence,
            CallEnd::NotSent { reason: "late" },
            CallEnd::Redirected { status: 302 },
            refused(486, None),
            refused(503, None),
            refused(503, Some(1_500)),
        ];
        ends.iter().map(outcome_of).chain([hung_up_unanswered()]).collect()
    }

    #[tokio::test]
    async fn every_kind_of_end_outlives_the_process_and_goes_when_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let all: Vec<KeptEnd> = (1..).zip(outcomes()).map(|(n, o)| kept(n, o)).collect();
        let journal = FileJournal::open(&files(&dir)).unwrap();
        for end in &all {
            journal.keep(end.clone()).await.unwrap();
        }
        drop(journal);
        let journal = FileJournal::open(&files(&dir)).unwrap();
        assert_eq!(journal.list(None, 3).len(), 3);
        assert_eq!(journal.list(Some(all[0].attempt), 100).len(), all.len() - 1);
        for end in &all {
            assert_eq!(journal.kept(end.attempt).as_ref(), Some(end));
            journal.forget(end.attempt);
        }
        // The file is nothing but room again.
        #[expect(clippy::disallowed_methods, reason = "a deadline of a test")]
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::fs::read(files(&dir).ends()).unwrap() != vec![b'\n'; ROOM] {
            #[expect(clippy::disallowed_methods, reason = "a deadline of a test")]
            let now = Instant::now();
            assert!(now < deadline, "not cleared");
            tokio::task::yield_now().await;
        }
        // And takes further ends.
        journal.keep(all[1].clone()).await.unwrap();
        drop(journal);
        let journal = FileJournal::open(&files(&dir)).unwrap();
        assert_eq!(journal.list(None, 9), [all[1].attempt]);
    }

    #[tokio::test]
    async fn a_torn_last_line_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let ends: Vec<KeptEnd> = (1..=3).map(|n| kept(n, outcomes()[0])).collect();
        let whole: String = ends[..2].iter().map(line_of).collect();
        let last = whole.len() - line_of(&ends[1]).len();
        for cut in last..whole.len() - 1 {
            std::fs::write(files(&dir).ends(), &whole.as_bytes()[..cut]).unwrap();
            let journal = FileJournal::open(&files(&dir)).unwrap();
            assert_eq!(journal.list(None, 9), [ends[0].attempt], "cut at {cut}");
            if cut % 16 == 0 {
                journal.keep(ends[2].clone()).await.unwrap();
                drop(journal);
                let journal = FileJournal::open(&files(&dir)).unwrap();
                assert_eq!(journal.list(None, 9), [ends[0].attempt, ends[2].attempt]);
            }
        }
    }

    #[tokio::test]
    async fn it_is_bounded_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (file, ends, _) = open(&files(&dir).ends()).unwrap();
        let ends = Arc::new(Mutex::new(ends));
        let mut keeper = Keeper { file, end: MOST - 10, kept: ends, failed: None };
        let refused = keeper.write(&[kept(1, outcomes()[0])]);
        assert_eq!(refused, Err(io::ErrorKind::FileTooLarge));
    }
}
