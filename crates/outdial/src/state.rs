//! The state directory: what this node knows of its database without asking it.
//!
//! Five files per database, named after it. `NAME.marks`: by which attempt of each workspace the
//! database is recognised; only who holds `NAME.lock` writes it. `NAME.node`: which of the nodes
//! this is, in every life of it. `NAME.accepted`: what the operator accepted. `NAME.ends`: ends of
//! calls that the database did not take (`journal`). Lines are appended to marks and acceptances. A
//! line is complete when it ends in ` .`: what a crash left half-written
//! was never acknowledged and is not read. Nothing in them is secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use outdial_core::id::WorkspaceId;
use outdial_ports::{Entropy, Mark, Noted};

/// The first line of the marks. A file without it is not one that was written whole.
const HEAD: &str = "marks 1 .";

/// What the operator accepts a database by.
pub(crate) type Token = [u8; 16];

/// Which node this is.
pub(crate) type NodeId = [u8; 16];

/// What is noted of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The latest mark.
    Mark(Mark),
    /// The marks are gone; this stands for them.
    Lost(Token),
}

impl Entry {
    /// As the engine asks for it.
    pub(crate) fn noted(self) -> Noted {
        match self {
            Self::Mark(mark) => Noted::Mark(mark),
            Self::Lost(_) => Noted::Lost,
        }
    }

    /// Who accepts a database in spite of it, names this.
    pub(crate) fn token(self) -> Token {
        match self {
            Self::Mark(mark) => mark.token,
            Self::Lost(token) => token,
        }
    }

    /// Its line, with its end.
    pub(crate) fn line(self, ws: WorkspaceId) -> String {
        let token = hex(self.token());
        match self {
            Self::Mark(mark) => format!("mark {ws} {} {token} .\n", mark.attempt),
            Self::Lost(_) => format!("lost {ws} {token} .\n"),
        }
    }
}

/// What is known of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(BTreeMap<WorkspaceId, Entry>);

impl Marks {
    /// Marks that are gone: of these workspaces nobody knows what left.
    pub(crate) fn lost(workspaces: &[WorkspaceId], entropy: &dyn Entropy) -> Self {
        let token = || {
            let mut token = [0; 16];
            entropy.fill(&mut token);
            token
        };
        Self(workspaces.iter().map(|ws| (*ws, Entry::Lost(token()))).collect())
    }

    /// The latest of a workspace.
    pub(crate) fn latest(&self, ws: WorkspaceId) -> Option<Entry> {
        self.0.get(&ws).copied()
    }

    /// Takes the place of what was noted there before.
    pub(crate) fn note(&mut self, ws: WorkspaceId, entry: Entry) {
        self.0.insert(ws, entry);
    }

    /// Nothing left yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many lines say it, written afresh.
    pub(crate) fn lines(&self) -> usize {
        1 + self.0.len()
    }

    /// None: this is no file of marks. With the number of its lines.
    fn read(text: &str) -> io::Result<Option<(Self, usize)>> {
        let mut lines = text.lines().filter(|line| !line.is_empty());
        match lines.next() {
            Some(HEAD) => {}
            Some(other) if other.starts_with("marks ") && other.ends_with(" .") => {
                let why = format!("it was written by another version ({other})");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            _ => return Ok(None),
        }
        let (mut marks, mut count) = (Self::default(), 1);
        for line in lines {
            count += 1;
            if let Some((ws, entry)) = entry(line) {
                marks.note(ws, entry);
            }
        }
        Ok(Some((marks, count)))
    }

    fn text(&self) -> String {
        let lines = self.0.iter().map(|(ws, entry)| entry.line(*ws));
        std::iter::once(format!("{HEAD}\n")).chain(lines).collect()
    }
}

/// None: half a line.
fn entry(line: &str) -> Option<(WorkspaceId, Entry)> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["mark", ws, attempt, token, "."] => {
            let mark = Mark { attempt: attempt.parse().ok()?, token: unhex(token)? };
            Some((ws.parse().ok()?, Entry::Mark(mark)))
        }
        ["lost", ws, token, "."] => Some((ws.parse().ok()?, Entry::Lost(unhex(token)?))),
        _ => None,
    }
}

fn accepted(line: &str) -> Option<(WorkspaceId, Token)> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["accepted", ws, token, "."] => Some((ws.parse().ok()?, unhex(token)?)),
        _ => None,
    }
}

pub(crate) fn hex(token: Token) -> String {
    token.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Token> {
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = digits.then(|| u128::from_str_radix(text, 16).ok())?;
    number.map(u128::to_be_bytes)
}

/// Why the marks were not written afresh.
#[derive(Debug)]
pub(crate) enum NotReplaced {
    /// What was there before is there still.
    Unchanged(io::Error),
    /// A sync failed: nobody knows what is there.
    Unsynced(io::Error),
}

impl From<NotReplaced> for io::Error {
    fn from(why: NotReplaced) -> Self {
        match why {
            NotReplaced::Unchanged(error) | NotReplaced::Unsynced(error) => error,
        }
    }
}

/// The line of `NAME.node`. None: it was not written to its end.
fn node(text: &str) -> Option<NodeId> {
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    match words[..] {
        ["node", id, "."] => unhex(id),
        _ => None,
    }
}

/// The files of one database.
#[derive(Clone, Debug)]
pub(crate) struct StateFiles {
    directory: PathBuf,
    name: String,
}

impl StateFiles {
    /// In `directory`, of the database with this name (a hash of its own secret).
    pub(crate) fn new(directory: &Path, database: &str) -> Self {
        Self { directory: directory.to_owned(), name: database.to_owned() }
    }

    /// Where the marks are.
    pub(crate) fn marks(&self) -> PathBuf {
        self.file("marks")
    }

    /// Where ends of calls are kept that the database does not take.
    pub(crate) fn ends(&self) -> PathBuf {
        self.file("ends")
    }

    /// Where it stands what the operator accepted.
    pub(crate) fn acceptance(&self) -> PathBuf {
        self.file("accepted")
    }

    /// What they say, and in how many lines. None: there are none, or nobody wrote them to the end
    /// of their first line.
    pub(crate) fn read(&self) -> io::Result<Option<(Marks, usize)>> {
        match fs::read(self.marks()) {
            Ok(bytes) => Marks::read(&String::from_utf8_lossy(&bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What the operator accepts: a database that does not hold this token of a workspace.
    pub(crate) fn accepted(&self) -> io::Result<BTreeSet<(WorkspaceId, Token)>> {
        match fs::read(self.acceptance()) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).lines().filter_map(accepted).collect()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(e) => Err(e),
        }
    }

    /// The operator accepts a database that does not hold these. Durable when it returns.
    pub(crate) fn accept(&self, tokens: &BTreeMap<WorkspaceId, Token>) -> io::Result<()> {
        self.make_directory()?;
        let line =
            |(ws, token): (&WorkspaceId, &Token)| format!("accepted {ws} {} .\n", hex(*token));
        // What a crash left half-written must not swallow the first line.
        let lines: String =
            std::iter::once("\n".to_owned()).chain(tokens.iter().map(line)).collect();
        let mut file = OpenOptions::new().create(true).append(true).open(self.acceptance())?;
        file.write_all(lines.as_bytes())?;
        file.sync_all()?;
        File::open(&self.directory)?.sync_all()
    }

    /// Keeps everybody else from writing the marks until the file is dropped: two that serve copies
    /// of one database would each take the other's calls for their own.
    pub(crate) fn lock(&self) -> Result<File> {
        self.make_directory()
            .with_context(|| format!("the state directory {}", self.directory.display()))?;
        let path = self.file("lock");
        let cannot = || format!("cannot lock {}", path.display());
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => bail!(
                "another process serves this database, or a copy of it, with the state directory \
                 {}: stop that first. A copy must not dial beside the original, for people would \
                 be called twice; nodes of one PostgreSQL have a state directory each \
                 (--state-dir)",
                self.directory.display()
            ),
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    /// Which node this is, for who holds the lock. One that nobody knows yet makes itself known:
    /// durably, so that it is the same in its next life.
    pub(crate) fn node(&self, entropy: &dyn Entropy) -> io::Result<NodeId> {
        let path = self.file("node");
        match fs::read_to_string(&path) {
            Ok(text) => {
                if let Some(id) = node(&text) {
                    return Ok(id);
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let mut id = NodeId::default();
        entropy.fill(&mut id);
        let mut file = File::create(&path)?;
        file.write_all(format!("node {} .\n", hex(id)).as_bytes())?;
        file.sync_all()?;
        File::open(&self.directory)?.sync_all()?;
        Ok(id)
    }

    /// Replaces the marks, as one atom, for who holds the lock. The file takes further lines.
    pub(crate) fn replace(&self, marks: &Marks) -> Result<File, NotReplaced> {
        use NotReplaced::{Unchanged, Unsynced};
        let fresh = self.file("fresh");
        let mut file = File::create(&fresh).map_err(Unchanged)?;
        file.write_all(marks.text().as_bytes()).map_err(Unchanged)?;
        file.sync_all().map_err(Unsynced)?;
        fs::rename(&fresh, self.marks()).map_err(Unchanged)?;
        let directory = File::open(&self.directory).map_err(Unsynced)?;
        directory.sync_all().map_err(Unsynced)?;
        Ok(file)
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.directory.join(format!("{}.{extension}", self.name))
    }

    /// Durably: a directory that a power cut takes back would look like one that was never there.
    fn make_directory(&self) -> io::Result<()> {
        let or_here = |path: &Path| match path.as_os_str().is_empty() {
            true => PathBuf::from("."),
            false => path.to_owned(),
        };
        let missing: Vec<&Path> = self
            .directory
            .ancestors()
            .filter(|path| !path.as_os_str().is_empty())
            .take_while(|path| !path.exists())
            .collect();
        fs::create_dir_all(or_here(&self.directory))?;
        for made in missing {
            let parent = or_here(made.parent().unwrap_or(Path::new("/")));
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use outdial_core::id::AttemptId;

    use super::*;
    use crate::entropy::OsEntropy;

    fn ws(n: u64) -> WorkspaceId {
        WorkspaceId::from_parts(1, n)
    }

    fn mark(n: u8) -> Entry {
        Entry::Mark(Mark { attempt: AttemptId::from_parts(2, u64::from(n)), token: [n; 16] })
    }

    fn files(dir: &tempfile::TempDir) -> StateFiles {
        StateFiles::new(&dir.path().join("a/b"), "db")
    }

    #[test]
    fn what_is_written_is_read_and_the_latest_counts() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        assert_eq!(files.read().unwrap(), None, "there is none");
        let _lock = files.lock().unwrap();
        let mut marks = Marks::lost(&[ws(1), ws(2)], &OsEntropy);
        let mut file = files.replace(&marks).unwrap();
        assert_eq!(files.read().unwrap(), Some((marks.clone(), 3)));
        file.write_all(mark(7).line(ws(1)).as_bytes()).unwrap();
        file.write_all(mark(8).line(ws(1)).as_bytes()).unwrap();
        marks.note(ws(1), mark(8));
        assert_eq!(files.read().unwrap(), Some((marks.clone(), 5)));
        assert_eq!(marks.latest(ws(2)).unwrap().noted(), Noted::Lost);
        assert_eq!(marks.latest(ws(3)), None);
    }

    #[test]
    fn half_a_line_is_not_read_nor_half_a_file() {
        let read = |text: &str| Marks::read(text).unwrap();
        let (whole, next) = (mark(3).line(ws(1)), mark(4).line(ws(1)));
        for half in 1..next.len() - 1 {
            let (marks, _) = read(&format!("{HEAD}\n{whole}{}", &next[..half])).unwrap();
            assert_eq!(marks.latest(ws(1)), Some(mark(3)), "{half}");
        }
        for half in 0..HEAD.len() {
            assert_eq!(read(&HEAD[..half]), None);
        }
        assert_eq!(read(&whole), None, "without its head");
        assert!(Marks::read("marks 2 .\n").is_err(), "of another version");
    }

    #[test]
    fn what_was_accepted_is_the_token_of_a_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        assert!(files.accepted().unwrap().is_empty());
        files.accept(&BTreeMap::from([(ws(1), [1; 16])])).unwrap();
        let half = "accepted 000000010000000000000003 0303";
        let path = files.acceptance();
        fs::write(&path, fs::read_to_string(&path).unwrap() + half).unwrap();
        files.accept(&BTreeMap::from([(ws(2), [2; 16])])).unwrap();
        let accepted = BTreeSet::from([(ws(1), [1; 16]), (ws(2), [2; 16])]);
        assert_eq!(files.accepted().unwrap(), accepted);
    }

    #[test]
    fn a_node_is_the_same_in_every_life() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(&dir);
        let _lock = files.lock().unwrap();
        let id = files.node(&OsEntropy).unwrap();
        assert_eq!(files.node(&OsEntropy).unwrap(), id);
        let other = StateFiles::new(&dir.path().join("a/b"), "other").node(&OsEntropy).unwrap();
        assert_ne!(other, id);
        // A crash in the middle of its first life: nobody knows that one.
        fs::write(files.file("node"), "node 0123").unwrap();
        let again = files.node(&OsEntropy).unwrap();
        assert_ne!(again, id);
        assert_eq!(files.node(&OsEntropy).unwrap(), again);
    }

    #[test]
    fn only_one_writes() {
        let dir = tempfile::tempdir().unwrap();
        let first = files(&dir).lock().unwrap();
        let refused = files(&dir).lock().unwrap_err().to_string();
        assert!(refused.contains("stop that first"), "{refused}");
        drop(first);
        files(&dir).lock().unwrap();
    }
}
