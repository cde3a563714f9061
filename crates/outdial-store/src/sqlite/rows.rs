//! Between columns and the types of the core.

use std::time::Duration;

use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use rusqlite::Row;
use rusqlite::types::{FromSql, Type};
use serde::de::DeserializeOwned;

pub(super) use crate::ids::{Id, digits, millis};

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
