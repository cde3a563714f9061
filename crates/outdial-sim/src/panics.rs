//! Panics of the world's tasks. The engine survives them, which is right, and nobody would notice;
//! but there is nothing in a world that gives it a reason to panic.

use std::cell::RefCell;
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use crate::checker::Violation;
use crate::weather::is_meant;

thread_local! {
    /// A world is one thread.
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics of this thread are remembered, and still reported as before.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // A store that breaks down on purpose gives nobody a reason for more.
            if !is_meant(&info.to_string()) {
                remember(info);
                before(info);
            }
        }));
    });
    FIRST.with(|first| *first.borrow_mut() = None);
}

/// There was none on this thread since `watch`.
pub(crate) fn check() -> Result<(), Violation> {
    FIRST.with(|first| match &*first.borrow() {
        None => Ok(()),
        Some(what) => Err(Violation::new("panic", what.clone())),
    })
}

fn remember(info: &PanicHookInfo<'_>) {
    FIRST.with(|first| {
        let what = info.to_string();
        first.borrow_mut().get_or_insert(what);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_that_a_task_swallows_is_seen() {
        watch();
        check().unwrap();
        let died = tokio::spawn(async { panic!("on purpose") }).await;
        assert!(died.is_err());
        assert!(check().unwrap_err().what.contains("on purpose"));
        watch();
        check().unwrap();
    }
}
