//! Edits of what several clients, over several nodes, may edit at once: read, merged, and written
//! only if nobody has changed it meanwhile. Never overwrites what it has not read.

use axum::http::StatusCode;

use crate::error::{ApiError, ApiResult};

/// How often one edit is tried. Each failure means that somebody else's edit went through.
const TRIES_MAX: u32 = 5;
/// Seconds after which a client may try again.
const RETRY_S: u32 = 1;

/// The tries of one edit.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Somebody else was first: an error once that has happened too often.
    pub(crate) fn again(&mut self, what: &str) -> ApiResult<()> {
        self.0 += 1;
        if self.0 < TRIES_MAX {
            return Ok(());
        }
        let text = format!("others keep changing the {what}: nothing was changed, try again");
        Err(ApiError::new(StatusCode::CONFLICT, text).retry_after(RETRY_S))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_tries() {
        let mut tries = Tries::default();
        let refused = (1..=5).map(|_| tries.again("batch").err().map(|e| e.status().as_u16()));
        assert_eq!(refused.collect::<Vec<_>>(), [None, None, None, None, Some(409)]);
    }
}
