//! One feed for all streams of a workspace: asks the store, so that a hundred streams ask it no
//! more often than one. Lives while there is a stream.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use outdial_core::id::{BatchId, WorkspaceId};
use outdial_ports::store::StoreError;
use tokio::sync::watch;

use super::frame;
use crate::app::App;

/// Most streams of a workspace.
pub(super) const STREAMS_MAX: usize = 100;
/// How often the store is asked, hint or not.
const PERIOD: Duration = Duration::from_secs(1);
/// Hints do not make it asked more often than this.
const GAP: Duration = Duration::from_millis(100);
/// Events of one question.
const PAGE: u32 = 100;
/// Events, and bytes of them, that are kept for streams that are a little behind.
const RING: usize = 1_000;
const RING_BYTES: usize = 4 << 20;
/// A stream takes so many at once: what it has not said yet is all that it keeps in memory.
const TAKEN: usize = 64;

/// The feeds of this process.
pub(crate) struct Feeds {
    open: Mutex<BTreeMap<WorkspaceId, Arc<Feed>>>,
    closed: watch::Sender<bool>,
}

/// What all streams of a workspace see.
pub(super) struct Feed {
    state: Mutex<State>,
    /// Rises with every change.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Guarded by the lock of `Feeds::open` too, so that no stream joins a feed that ends.
    streams: usize,
    /// The latest events, without gaps: position and text.
    ring: VecDeque<(u64, Bytes)>,
    ring_bytes: usize,
    /// The highest position known.
    latest: u64,
    /// By batch: at which change it was so, and its text.
    progress: BTreeMap<BatchId, (u64, Bytes)>,
}

/// What a stream finds after its position.
pub(super) enum Found {
    /// The next of these, in order; empty: nothing yet.
    Events(Vec<(u64, Bytes)>),
    /// It is too far behind for the feed: the store has them.
    Behind,
}

/// A stream's place among those of its workspace; given back when dropped.
pub(super) struct Seat {
    feeds: Arc<Feeds>,
    workspace: WorkspaceId,
    pub(super) feed: Arc<Feed>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = locked(&self.feeds.open);
        let mut state = locked(&self.feed.state);
        state.streams -= 1;
        if state.streams == 0 {
            open.remove(&self.workspace);
            self.feed.changed.send_modify(|n| *n += 1);
        }
    }
}

impl Default for Feeds {
    fn default() -> Self {
        Self { open: Mutex::default(), closed: watch::channel(false).0 }
    }
}

impl Feeds {
    /// Ends all streams: the process is about to stop.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Becomes true when all is to end.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// A seat; none: there are as many streams as there may be.
    pub(super) async fn take_seat(
        app: &Arc<App>,
        workspace: WorkspaceId,
    ) -> Result<Option<Seat>, StoreError> {
        // Known before the feed starts, so that no event is taken for old.
        let latest = app.store.event_list(workspace, 0, 1).await?.latest;
        let feeds = &app.feeds;
        let mut open = locked(&feeds.open);
        let is_new = !open.contains_key(&workspace);
        let feed = Arc::clone(open.entry(workspace).or_insert_with(|| {
            let state = State { latest, ..State::default() };
            Arc::new(Feed { state: Mutex::new(state), changed: watch::channel(0).0 })
        }));
        {
            let mut state = locked(&feed.state);
            if state.streams >= STREAMS_MAX {
                return Ok(None);
            }
            state.streams += 1;
        }
        if is_new {
            tokio::spawn(keep_feeding(Arc::clone(app), workspace, Arc::clone(&feed)));
        }
        drop(open);
        Ok(Some(Seat { feeds: Arc::clone(feeds), workspace, feed }))
    }
}

impl Feed {
    /// Tells of every change.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The highest position known.
    pub(super) fn latest(&self) -> u64 {
        locked(&self.state).latest
    }

    /// What there is after this position.
    pub(super) fn after(&self, position: u64) -> Found {
        locked(&self.state).after(position)
    }

    /// How far batches are that moved since this change, and the change that it is now.
    pub(super) fn progress_since(&self, change: u64) -> (Vec<Bytes>, u64) {
        let state = locked(&self.state);
        let moved = state.progress.values().filter(|(at, _)| *at > change);
        (moved.map(|(_, text)| text.clone()).collect(), *self.changed.borrow())
    }
}

impl State {
    fn after(&self, position: u64) -> Found {
        if position >= self.latest {
            return Found::Events(Vec::new());
        }
        match self.ring.front() {
            Some((first, _)) if *first <= position + 1 => {
                let later = self.ring.iter().filter(|(at, _)| *at > position);
                Found::Events(later.take(TAKEN).cloned().collect())
            }
            _ => Found::Behind,
        }
    }

    fn push(&mut self, position: u64, text: Bytes) {
        self.ring_bytes += text.len();
        self.ring.push_back((position, text));
        self.latest = position;
        while self.ring.len() > RING || self.ring_bytes > RING_BYTES {
            let Some((_, text)) = self.ring.pop_front() else { break };
            self.ring_bytes -= text.len();
        }
    }

    fn clear(&mut self) {
        self.ring.clear();
        self.ring_bytes = 0;
    }
}

/// Asks the store until the last stream is gone or the process stops.
async fn keep_feeding(app: Arc<App>, workspace: WorkspaceId, feed: Arc<Feed>) {
    let mut closing = app.feeds.closing();
    let mut asked_progress = None;
    let mut was_well = true;
    while locked(&feed.state).streams > 0 && !*closing.borrow_and_update() {
        let began = app.clock.monotonic();
        // From before the question on, so that no hint is lost.
        let told = app.told.notified();
        let progress_is_due = asked_progress.is_none_or(|at| began.since(at) >= PERIOD);
        let fed = feed_once(&app, workspace, &feed, progress_is_due).await;
        if progress_is_due {
            asked_progress = Some(began);
        }
        if let Err(error) = &fed
            && was_well
        {
            tracing::warn!(%workspace, %error, "events cannot be read; goes on trying");
        }
        was_well = fed.is_ok();
        let ended = app.clock.monotonic();
        tokio::select! {
            () = app.clock.sleep_until(began.after(PERIOD).max(ended.after(GAP))) => {}
            () = async {
                told.await;
                app.clock.sleep_until(ended.after(GAP)).await;
            } => {}
            _ = closing.changed() => {}
        }
    }
}

async fn feed_once(
    app: &App,
    workspace: WorkspaceId,
    feed: &Feed,
    with_progress: bool,
) -> Result<(), StoreError> {
    loop {
        let page = app.store.event_list(workspace, feed.latest(), PAGE).await?;
        let count = page.events.len();
        let mut state = locked(&feed.state);
        if let Some(first) = page.events.first()
            && first.position != state.latest + 1
        {
            // Some are gone already: whoever is before them asks the store, and is told so.
            state.clear();
        }
        for event in &page.events {
            state.push(event.position, frame::event(event));
        }
        drop(state);
        if count > 0 {
            feed.changed.send_modify(|n| *n += 1);
        }
        if count < usize::try_from(PAGE).unwrap_or(usize::MAX) {
            break;
        }
    }
    if with_progress {
        let batches = app.store.batch_list_active(workspace).await?;
        let mut has_changed = false;
        let change = *feed.changed.borrow() + 1;
        let mut state = locked(&feed.state);
        let mut earlier = std::mem::take(&mut state.progress);
        for batch in batches {
            let text = frame::progress(&batch);
            let kept = earlier.remove(&batch.id).filter(|(_, old)| *old == text);
            has_changed |= kept.is_none();
            state.progress.insert(batch.id, kept.unwrap_or((change, text)));
        }
        drop(state);
        if has_changed {
            feed.changed.send_modify(|n| *n += 1);
        }
    }
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_has_the_latest_without_gaps() {
        let mut state = State { latest: 5, ..State::default() };
        let positions = |found: Found| match found {
            Found::Events(events) => Some(events.iter().map(|(at, _)| *at).collect::<Vec<_>>()),
            Found::Behind => None,
        };
        assert_eq!(positions(state.after(5)), Some(vec![]));
        assert_eq!(positions(state.after(4)), None);
        for at in 6..=8 {
            state.push(at, Bytes::new());
        }
        assert_eq!(positions(state.after(4)), None);
        assert_eq!(positions(state.after(5)), Some(vec![6, 7, 8]));
        assert_eq!(positions(state.after(7)), Some(vec![8]));
        for at in 9..=2_000 {
            state.push(at, Bytes::new());
        }
        assert_eq!(state.ring.len(), RING);
        assert_eq!(positions(state.after(999)), None);
        assert_eq!(positions(state.after(1_000)), Some((1_001..=1_064).collect()));
        assert_eq!(positions(state.after(1_990)), Some((1_991..=2_000).collect()));
    }

    #[test]
    fn the_ring_is_bounded_by_bytes_too() {
        let mut state = State::default();
        let large = Bytes::from(vec![0; RING_BYTES / 4]);
        for at in 1..=9 {
            state.push(at, large.clone());
        }
        assert_eq!((state.ring.len(), state.ring_bytes), (4, RING_BYTES));
        assert!(matches!(state.after(4), Found::Behind));
        assert!(matches!(state.after(5), Found::Events(events) if events.len() == 4));
        // One that is larger than all the room is read from the store.
        state.push(10, Bytes::from(vec![0; RING_BYTES + 1]));
        assert_eq!((state.ring.len(), state.ring_bytes), (0, 0));
        assert!(matches!(state.after(9), Found::Behind));
        state.push(11, large);
        assert!(matches!(state.after(10), Found::Events(events) if events.len() == 1));
        state.clear();
        assert_eq!(state.ring_bytes, 0);
    }
}
