//! API keys.

use outdial_core::id::{KeyId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    KEY_USE_EVERY, KeyError, KeyRecord, KeyRotation, NewKey, Principal, Scope, Scopes, StoreError,
};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::rows::{Id, RowExt};
use super::sql;

impl SqliteDb {
    pub(super) fn key_create(
        &mut self,
        ws: WorkspaceId,
        key: &NewKey,
    ) -> Result<KeyRecord, StoreError> {
        self.key_insert(ws, key, None)
    }

    pub(super) fn key_list(&mut self, ws: WorkspaceId) -> Result<Vec<KeyRecord>, StoreError> {
        self.all(sql!("key/list"), [ws.seq64()], |r| {
            Ok(KeyRecord {
                id: r.id(0)?,
                created_at: r.time(1)?,
                name: r.get(2)?,
                hint: r.get(3)?,
                scopes: scopes(r, 4)?,
                revoked_at: r.time_opt(5)?,
                expires_at: r.time_opt(6)?,
                last_used_at: r.time_opt(7)?,
                replaces: r.id_opt(8)?,
            })
        })
    }

    pub(super) fn key_revoke(&mut self, ws: WorkspaceId, key: KeyId) -> Result<bool, StoreError> {
        let now = self.now().as_millis();
        let id = params![key.seq64(), key.secs(), ws.seq64(), now];
        if self.exec(sql!("key/revoke"), id)? == 0 {
            return Ok(false);
        }
        self.dispatch_bump(ws.seq64())?;
        Ok(true)
    }

    pub(super) fn key_rotate(
        &mut self,
        ws: WorkspaceId,
        key: KeyId,
        rotation: &KeyRotation,
    ) -> Result<KeyRecord, KeyError> {
        let (seq, now) = (key.seq64(), self.now());
        let id = params![seq, key.secs(), ws.seq64(), now.as_millis()];
        let old = self.one(sql!("key/fetch"), id, |r| {
            let is_good: bool = r.get(2)?;
            let replaces: Option<i64> = r.get(3)?;
            Ok((r.get::<_, String>(0)?, scopes(r, 1)?, is_good, replaces))
        })?;
        let Some((name, scopes, is_good, replaces)) = old else { return Err(KeyError::NotFound) };
        if !is_good {
            return Err(KeyError::Over);
        }
        let of_this = params![ws.seq64(), seq, now.as_millis()];
        if let Some(next) = self.one(sql!("key/successor"), of_this, |r| r.id(0))? {
            return Err(KeyError::HasSuccessor(next));
        }
        if let Some(older) = replaces {
            let older = params![older, ws.seq64(), now.as_millis()];
            self.exec(sql!("key/revoke_replaced"), older)?;
        }
        let until = now.after(rotation.old_for).as_millis();
        self.exec(sql!("key/end_at"), params![seq, ws.seq64(), until])?;
        let KeyRotation { hash, hint, expires_at, .. } = rotation;
        let (hash, hint, expires_at) = (*hash, hint.clone(), *expires_at);
        let new = NewKey { hash, hint, name, scopes, expires_at };
        let made = self.key_insert(ws, &new, Some(key))?;
        self.dispatch_bump(ws.seq64())?;
        Ok(made)
    }

    pub(super) fn key_touch(&mut self, keys: &[KeyId]) -> Result<u32, StoreError> {
        let (now, before) = (self.now().as_millis(), use_before(self.now()));
        let mut written = 0;
        for key in keys {
            let row = params![key.seq64(), key.secs(), now, before];
            written += u32::from(self.exec(sql!("key/touch"), row)? > 0);
        }
        Ok(written)
    }

    pub(super) fn key_authenticate(
        &mut self,
        hash: &[u8; 32],
    ) -> Result<Option<Principal>, StoreError> {
        let now = self.now().as_millis();
        self.one(sql!("key/authenticate"), params![hash, now], |r| {
            Ok(Principal {
                key: r.id(0)?,
                workspace: r.id(2)?,
                user: r.id(4)?,
                scopes: scopes(r, 6)?,
                last_used_at: r.time_opt(7)?,
            })
        })
    }

    fn key_insert(
        &mut self,
        ws: WorkspaceId,
        key: &NewKey,
        replaces: Option<KeyId>,
    ) -> Result<KeyRecord, StoreError> {
        let now = self.now();
        let seq = self.insert(
            sql!("key/insert"),
            params![
                now.as_millis(),
                ws.seq64(),
                key.hash,
                key.hint,
                key.name,
                scope_words(&key.scopes),
                key.expires_at.map(Timestamp::as_millis),
                replaces.map(|k| k.seq64())
            ],
        )?;
        Ok(KeyRecord {
            id: KeyId::of(seq, now.as_millis()),
            name: key.name.clone(),
            hint: key.hint.clone(),
            scopes: key.scopes.clone(),
            created_at: now,
            revoked_at: None,
            expires_at: key.expires_at,
            last_used_at: None,
            replaces,
        })
    }
}

/// Uses up to then are written down again.
fn use_before(now: Timestamp) -> i64 {
    now.before(KEY_USE_EVERY).as_millis()
}

fn scope_words(scopes: &Scopes) -> String {
    scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(",")
}

fn scopes(row: &Row<'_>, i: usize) -> rusqlite::Result<Scopes> {
    row.word(i, |words| {
        words.split(',').filter(|w| !w.is_empty()).map(Scope::parse).collect::<Option<Scopes>>()
    })
}
