//! Between columns and the types of the core.

use std::time::Duration;

use outdial_core::id::{
    AgentId, AttemptId, BatchId, CallId, DncId, KeyId, PhoneId, RequestId, TrunkId, UserId,
    WorkspaceId,
};
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSql, Type};
use serde::de::DeserializeOwned;

/// An id as its two columns: `seq`, and the seconds of `created_at`.
pub(super) trait Id: Sized {
    /// The row's `seq`; −1, which no row has, for what cannot be one.
    fn seq64(&self) -> i64;
    /// The seconds that the row's `created_at` must have.
    fn secs(&self) -> i64;
    /// From the two columns.
    fn of(seq: i64, created_at: i64) -> Self;
}

macro_rules! ids {
    ($($name:ident)*) => {$(
        impl Id for $name {
            fn seq64(&self) -> i64 {
                i64::try_from(self.seq()).unwrap_or(-1)
            }
            fn secs(&self) -> i64 {
                i64::from(self.seconds())
            }
            fn of(seq: i64, created_at: i64) -> Self {
                Self::new(Timestamp::from_millis(created_at), seq.unsigned_abs())
            }
        }
    )*};
}
ids!(AgentId AttemptId BatchId CallId DncId KeyId PhoneId RequestId TrunkId UserId WorkspaceId);

/// Reads of a row in terms of the core.
pub(super) trait RowExt {
    /// The id whose `seq` is in column `i` and whose `created_at` is in the next.
    fn id<T: Id>(&self, i: usize) -> rusqlite::Result<T>;
    /// As `id`, of an outer join.
    fn id_opt<T: Id>(&self, i: usize) -> rusqlite::Result<Option<T>>;
    /// An instant.
    fn time(&self, i: usize) -> rusqlite::Result<Timestamp>;
    /// An instant, or none.
    fn time_opt(&self, i: usize) -> rusqlite::Result<Option<Timestamp>>;
    /// A length of time in milliseconds, or none.
    fn duration_opt(&self, i: usize) -> rusqlite::Result<Option<Duration>>;
    /// A phone number.
    fn phone(&self, i: usize) -> rusqlite::Result<PhoneNumber>;
    /// A word of the core, by its `parse`.
    fn word<T>(&self, i: usize, parse: fn(&str) -> Option<T>) -> rusqlite::Result<T>;
    /// A word of the core, or none.
    fn word_opt<T>(&self, i: usize, parse: fn(&str) -> Option<T>) -> rusqlite::Result<Option<T>>;
    /// A value stored as JSON.
    fn json<T: DeserializeOwned>(&self, i: usize) -> rusqlite::Result<T>;
    /// An integer that fits.
    fn int<T: TryFrom<i64>>(&self, i: usize) -> rusqlite::Result<T>;
}

impl RowExt for Row<'_> {
    fn id<T: Id>(&self, i: usize) -> rusqlite::Result<T> {
        Ok(T::of(self.get(i)?, self.get(i + 1)?))
    }

    fn id_opt<T: Id>(&self, i: usize) -> rusqlite::Result<Option<T>> {
        let seq: Option<i64> = self.get(i)?;
        seq.map(|seq| Ok(T::of(seq, self.get(i + 1)?))).transpose()
    }

    fn time(&self, i: usize) -> rusqlite::Result<Timestamp> {
        self.get(i).map(Timestamp::from_millis)
    }

    fn time_opt(&self, i: usize) -> rusqlite::Result<Option<Timestamp>> {
        Ok(self.get::<_, Option<i64>>(i)?.map(Timestamp::from_millis))
    }

    fn duration_opt(&self, i: usize) -> rusqlite::Result<Option<Duration>> {
        let millis: Option<i64> = self.get(i)?;
        Ok(millis.map(|ms| Duration::from_millis(ms.unsigned_abs())))
    }

    fn phone(&self, i: usize) -> rusqlite::Result<PhoneNumber> {
        self.int(i).map(PhoneNumber::from_digits)
    }

    fn word<T>(&self, i: usize, parse: fn(&str) -> Option<T>) -> rusqlite::Result<T> {
        let text = self.get_ref(i)?.as_str()?;
        parse(text).ok_or_else(|| unexpected(i, Type::Text, text))
    }

    fn word_opt<T>(&self, i: usize, parse: fn(&str) -> Option<T>) -> rusqlite::Result<Option<T>> {
        match self.get_ref(i)?.as_str_or_null()? {
            None => Ok(None),
            Some(_) => self.word(i, parse).map(Some),
        }
    }

    fn json<T: DeserializeOwned>(&self, i: usize) -> rusqlite::Result<T> {
        let text = self.get_ref(i)?.as_str()?;
        serde_json::from_str(text)
            .map_err(|e| rusqlite::Error::FromSqlConversionFailure(i, Type::Text, Box::new(e)))
    }

    fn int<T: TryFrom<i64>>(&self, i: usize) -> rusqlite::Result<T> {
        let value = i64::column_result(self.get_ref(i)?)?;
        T::try_from(value).map_err(|_| unexpected(i, Type::Integer, &value.to_string()))
    }
}

fn unexpected(i: usize, kind: Type, what: &str) -> rusqlite::Error {
    let why = format!("unexpected value `{what}`");
    rusqlite::Error::FromSqlConversionFailure(i, kind, why.into())
}

/// A length of time as its column.
pub(super) fn millis(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// A phone number as its column.
pub(super) fn digits(phone: PhoneNumber) -> i64 {
    i64::try_from(phone.digits()).unwrap_or(i64::MAX)
}
