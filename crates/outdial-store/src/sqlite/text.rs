//! Our functions in SQL: `crate::text` for statements.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Error};

pub(super) use crate::text::Matcher;
use crate::text::{contains, field_text, uuid_text};

/// Registers `contains`, `uuid_text`, `field_text` and `call_matches` on a connection.
pub(super) fn register(conn: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    conn.create_scalar_function("contains", 2, flags, |ctx| {
        // As SQL has it. OR does not keep its right side from being evaluated everywhere.
        if ctx.get_raw(1) == ValueRef::Null {
            return Ok(None);
        }
        let needle = ctx.get_or_create_aux(1, lower_text)?;
        Ok(Some(contains(ctx.get_raw(0).as_str().map_err(user)?, &needle)))
    })?;
    conn.create_scalar_function("uuid_text", 1, flags, |ctx| {
        Ok(uuid_text(ctx.get_raw(0).as_blob().map_err(user)?))
    })?;
    conn.create_scalar_function("field_text", 2, flags, |ctx| {
        let fields = ctx.get_raw(1).as_str().map_err(user)?;
        let key = ctx.get_raw(0).as_str().map_err(user)?;
        Ok(match field_text(fields, key) {
            Some(text) => ToSqlOutput::Owned(Value::Text(text.into_owned())),
            None => ToSqlOutput::Owned(Value::Null),
        })
    })?;
    conn.create_scalar_function("call_matches", 4, flags, call_matches)
}

/// `call_matches(matcher, phone, fields, status)`; no matcher matches everything.
fn call_matches(ctx: &Context<'_>) -> rusqlite::Result<bool> {
    if ctx.get_raw(0) == ValueRef::Null {
        return Ok(true);
    }
    let matcher = ctx.get_or_create_aux(0, |v| {
        v.as_str().map_err(user).and_then(|t| serde_json::from_str::<Matcher>(t).map_err(user))
    })?;
    let phone = ctx.get_raw(1).as_i64().map_err(user)?.to_string();
    let fields = ctx.get_raw(2).as_str().map_err(user)?;
    let status = ctx.get_raw(3).as_str_or_null().map_err(user)?.unwrap_or("");
    Ok(matcher.matches(&phone, fields, status))
}

fn lower_text(value: ValueRef<'_>) -> Result<String, Error> {
    Ok(value.as_str().map_err(user)?.to_lowercase())
}

fn user(e: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::UserFunctionError(Box::new(e))
}
