//! Between columns and the types of the core.

use std::time::Duration;

use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use outdial_ports::store::StoreError;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::error::read_error;
pub(super) use crate::ids::{Id, digits, millis};

/// Reads of a row in terms of the core. Columns are counted from 0.
pub(super) trait RowExt {
    /// Whatever the driver reads.
    fn col<'a, T: FromSql<'a>>(&'a self, i: usize) -> Result<T, StoreError>;
    /// An integer, of whatever width, that fits.
    fn int<T: TryFrom<i64>>(&self, i: usize) -> Result<T, StoreError>;
    /// An integer that fits, or none.
    fn int_opt<T: TryFrom<i64>>(&self, i: usize) -> Result<Option<T>, StoreError>;
    /// The id whose `seq` is in column `i` and whose `created_at` is in the next.
    fn id<T: Id>(&self, i: usize) -> Result<T, StoreError> {
        Ok(T::of(self.int(i)?, self.int(i + 1)?))
    }
    /// As `id`, of an outer join.
    fn id_opt<T: Id>(&self, i: usize) -> Result<Option<T>, StoreError> {
        let seq: Option<i64> = self.int_opt(i)?;
        seq.map(|seq| Ok(T::of(seq, self.int(i + 1)?))).transpose()
    }
    /// An instant.
    fn time(&self, i: usize) -> Result<Timestamp, StoreError> {
        self.int(i).map(Timestamp::from_millis)
    }
    /// An instant, or none.
    fn time_opt(&self, i: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.int_opt(i)?.map(Timestamp::from_millis))
    }
    /// A length of time in milliseconds, or none.
    fn duration_opt(&self, i: usize) -> Result<Option<Duration>, StoreError> {
        Ok(self.int_opt(i)?.map(Duration::from_millis))
    }
    /// A phone number.
    fn phone(&self, i: usize) -> Result<PhoneNumber, StoreError> {
        self.int(i).map(PhoneNumber::from_digits)
    }
    /// A text.
    fn text(&self, i: usize) -> Result<String, StoreError> {
        self.col(i)
    }
    /// A text, or none.
    fn text_opt(&self, i: usize) -> Result<Option<String>, StoreError> {
        self.col(i)
    }
    /// As many bytes as there must be.
    fn exact<const N: usize>(&self, i: usize) -> Result<[u8; N], StoreError> {
        <[u8; N]>::try_from(self.col::<&[u8]>(i)?)
            .map_err(|_| unexpected(i, "a value of another length"))
    }
    /// A flag.
    fn flag(&self, i: usize) -> Result<bool, StoreError> {
        self.col(i)
    }
    /// A number with a fraction, or none.
    fn float_opt(&self, i: usize) -> Result<Option<f64>, StoreError> {
        self.col(i)
    }
    /// A word of the core, by its `parse`.
    fn word<T>(&self, i: usize, parse: fn(&str) -> Option<T>) -> Result<T, StoreError> {
        let text: &str = self.col(i)?;
        parse(text).ok_or_else(|| unexpected(i, text))
    }
    /// A word of the core, or none.
    fn word_opt<T>(&self, i: usize, parse: fn(&str) -> Option<T>) -> Result<Option<T>, StoreError> {
        match self.col::<Option<&str>>(i)? {
            None => Ok(None),
            Some(_) => self.word(i, parse).map(Some),
        }
    }
    /// A value stored as JSON.
    fn json<T: DeserializeOwned>(&self, i: usize) -> Result<T, StoreError> {
        serde_json::from_str(self.col(i)?).map_err(|e| unexpected(i, &e.to_string()))
    }
}

impl RowExt for Row {
    fn col<'a, T: FromSql<'a>>(&'a self, i: usize) -> Result<T, StoreError> {
        self.try_get(i).map_err(|e| read_error(&e))
    }

    fn int<T: TryFrom<i64>>(&self, i: usize) -> Result<T, StoreError> {
        self.int_opt(i)?.ok_or_else(|| unexpected(i, "NULL"))
    }

    fn int_opt<T: TryFrom<i64>>(&self, i: usize) -> Result<Option<T>, StoreError> {
        let value = match self.columns().get(i).map(tokio_postgres::Column::type_) {
            Some(&Type::INT2) => self.col::<Option<i16>>(i)?.map(i64::from),
            Some(&Type::INT4) => self.col::<Option<i32>>(i)?.map(i64::from),
            _ => self.col::<Option<i64>>(i)?,
        };
        let fits = |v: i64| T::try_from(v).map_err(|_| unexpected(i, &v.to_string()));
        value.map(fits).transpose()
    }
}

fn unexpected(i: usize, what: &str) -> StoreError {
    StoreError::Internal(format!("unexpected value `{what}` in column {i}"))
}
