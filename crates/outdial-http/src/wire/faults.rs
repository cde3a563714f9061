//! Faults of a small request, by field: all of them at once, so that nobody has to guess twice.

use std::fmt::Display;

use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};

/// Longest display name, in characters.
const NAME_MAX_CHARS: usize = 200;

/// One fault.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldFault {
    /// Which field.
    pub(crate) field: String,
    /// What is wrong with it, and what would be right.
    pub(crate) message: String,
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<FieldFault>);

impl Faults {
    /// Remembers one.
    pub(crate) fn add(&mut self, field: impl Display, message: impl Display) {
        self.0.push(FieldFault { field: field.to_string(), message: message.to_string() });
    }

    /// A display name: there, not blank, not too long, on one line.
    pub(crate) fn name(&mut self, field: &str, value: Option<&str>) -> String {
        let value = value.map(str::trim).unwrap_or_default();
        if value.is_empty() {
            self.add(field, "is missing: write a display name");
        } else if value.chars().count() > NAME_MAX_CHARS {
            self.add(field, format!("is longer than {NAME_MAX_CHARS} characters"));
        } else if value.chars().any(char::is_control) {
            self.add(field, "has control characters");
        }
        value.to_owned()
    }

    /// What a PATCH asks for; `null` is a fault where there is no default to go back to.
    pub(crate) fn some<T>(&mut self, field: &str, value: Option<Option<T>>) -> Option<T> {
        if matches!(value, Some(None)) {
            self.add(field, "cannot be null: leave it out, or write what it is to be");
        }
        value.flatten()
    }

    /// A whole number in a range, both ends included.
    pub(crate) fn whole(
        &mut self,
        field: &str,
        value: Option<i64>,
        min: u32,
        max: u32,
    ) -> Option<u32> {
        let value = value?;
        match u32::try_from(value) {
            Ok(n) if (min..=max).contains(&n) => Some(n),
            _ => {
                self.add(field, format!("{value} is not allowed: write {min} to {max}"));
                None
            }
        }
    }

    /// 400 with all of them, if there are any.
    pub(crate) fn finish(self) -> ApiResult<()> {
        #[derive(Serialize)]
        struct Data {
            errors: Vec<FieldFault>,
        }
        if self.0.is_empty() {
            return Ok(());
        }
        let lines: Vec<_> = self.0.iter().map(|f| format!("{}: {}", f.field, f.message)).collect();
        Err(ApiError::bad(lines.join("; ")).with_data(&Data { errors: self.0 }))
    }
}
