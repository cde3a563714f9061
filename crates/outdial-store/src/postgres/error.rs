//! From PostgreSQL's errors to the store's.

use outdial_ports::store::StoreError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

/// What an error tells beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// Two transactions met, and this one gave way: it may be repeated.
    Conflict,
    /// The connection is of no more use, or leads to a server that does not take writes.
    Broken,
    /// Anything else. The transaction is lost.
    Failed,
}

/// What an error means to whoever asked; nothing was changed.
pub(super) fn store_error(e: &Error) -> StoreError {
    let why = text(e);
    let Some(db) = e.as_db_error() else {
        return match met(e) {
            Met::Broken => StoreError::Unavailable(why),
            Met::Conflict | Met::Failed => StoreError::Internal(why),
        };
    };
    match db.code().code().as_bytes() {
        b"53100" => StoreError::Full,
        // Connections, resources, an operator's action (and a statement that took too long), locks,
        // files; conflicts; credentials and names, which a failover may bring; no writes here.
        [b'0', b'8', ..]
        | [b'5', b'3', ..]
        | [b'5', b'7', ..]
        | [b'5', b'8', ..]
        | [b'4', b'0', ..]
        | [b'2', b'8', ..]
        | [b'3', b'D', ..]
        | b"55P03"
        | b"25006"
        | b"25P03" => StoreError::Unavailable(why),
        _ => StoreError::Internal(why),
    }
}

/// What an error of a statement says of its transaction and connection.
pub(super) fn met(e: &Error) -> Met {
    match e.code() {
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => {
            Met::Conflict
        }
        Some(code) => match code.code().as_bytes() {
            [b'0', b'8', ..] | b"25006" | b"25P03" => Met::Broken,
            [b'5', b'7', b'P', ..] => Met::Broken,
            _ => Met::Failed,
        },
        None if is_ours(e) => Met::Failed,
        None => Met::Broken,
    }
}

/// What an error of COMMIT means: unless the server says that it undid the transaction, nobody
/// knows.
pub(super) fn commit_error(e: &Error) -> StoreError {
    match e.code() {
        Some(code) if is_undone(code) => store_error(e),
        _ => StoreError::OutcomeUnknown(text(e)),
    }
}

/// The server has undone the transaction whose COMMIT it answers so.
pub(crate) fn is_undone(code: &SqlState) -> bool {
    // Of its class, this one alone says that the server itself does not know.
    *code != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
        && matches!(
            code.code().as_bytes(),
            [b'2', b'3' | b'5', ..] | [b'4', b'0', ..] | [b'5', b'3', ..]
        )
}

/// A row does not say what it should: a defect.
pub(super) fn read_error(e: &Error) -> StoreError {
    StoreError::Internal(text(e))
}

/// A row does not say what it should: a defect.
pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Internal(format!("the database holds an unexpected {what}"))
}

/// An error in a few words. A server's *detail* is left out: it may hold what people sent.
pub(super) fn text(e: &Error) -> String {
    if let Some(db) = e.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = e.to_string();
    let mut cause = std::error::Error::source(e);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// The mistake is in what we bound or read, not in the connection.
fn is_ours(e: &Error) -> bool {
    !e.is_closed()
        && std::error::Error::source(e).is_none_or(|cause| !cause.is::<std::io::Error>())
        && {
            let text = e.to_string();
            // Not "unexpected message from server": after that nothing of it can be believed.
            text.starts_with("expected")
                || ["serializing", "deserializing", "invalid column"]
                    .iter()
                    .any(|word| text.contains(word))
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refused_commit_says() {
        for (code, undone) in [
            ("40001", true),
            ("40P01", true),
            ("40003", false),
            ("23505", true),
            ("25P03", true),
            ("53100", true),
            ("57P01", false),
            ("08006", false),
            ("XX000", false),
        ] {
            assert_eq!(is_undone(&SqlState::from_code(code)), undone, "{code}");
        }
    }
}
