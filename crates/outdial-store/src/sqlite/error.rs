//! From SQLite's errors to the store's.

use outdial_ports::store::StoreError;
use rusqlite::{ErrorCode, ffi};

/// What an error of the database means to whoever asked.
pub(super) fn store_error(e: &rusqlite::Error) -> StoreError {
    let Some(failure) = e.sqlite_error() else {
        return StoreError::Internal(e.to_string());
    };
    match failure.code {
        ErrorCode::DiskFull => StoreError::Full,
        // There is no room for the index of the write-ahead log.
        _ if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => StoreError::Full,
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::CannotOpen
        | ErrorCode::OutOfMemory
        | ErrorCode::ReadOnly => StoreError::Unavailable(e.to_string()),
        ErrorCode::SystemIoFailure if !is_failed_sync(e) => StoreError::Unavailable(e.to_string()),
        _ => StoreError::Internal(e.to_string()),
    }
}

/// An fsync failed. The system may have dropped the pages that it could not write and report
/// success the next time, so nothing may be committed any more.
pub(super) fn is_failed_sync(e: &rusqlite::Error) -> bool {
    e.sqlite_error().is_some_and(|f| {
        matches!(f.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
    })
}

/// A row does not say what it should: a defect.
pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Internal(format!("the database holds an unexpected {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None)
    }

    #[test]
    fn what_can_pass_is_not_a_defect() {
        for full in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            assert_eq!(store_error(&failure(full)), StoreError::Full);
        }
        for passing in [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_IOERR_READ] {
            assert!(matches!(store_error(&failure(passing)), StoreError::Unavailable(_)));
        }
        for defect in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CONSTRAINT_CHECK, ffi::SQLITE_IOERR_FSYNC] {
            assert!(matches!(store_error(&failure(defect)), StoreError::Internal(_)));
        }
        assert!(is_failed_sync(&failure(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!is_failed_sync(&failure(ffi::SQLITE_IOERR_WRITE)));
    }
}
