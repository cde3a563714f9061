//! API keys.

use outdial_core::id::{KeyId, WorkspaceId};
use outdial_ports::store::{
    KEY_USE_EVERY, KeyError, KeyRecord, KeyRotation, NewKey, Principal, Scope, Scopes, StoreError,
};
use tokio_postgres::Row;

use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;

impl PgTx<'_> {
    pub(super) async fn key_create(
        &self,
        ws: WorkspaceId,
        key: &NewKey,
    ) -> Result<KeyRecord, StoreError> {
        self.key_insert(ws, key, None).await
    }

    pub(super) async fn key_list(&self, ws: WorkspaceId) -> Result<Vec<KeyRecord>, StoreError> {
        self.all(pg!("key/list"), params![ws.seq64()], |r| {
            Ok(KeyRecord {
                id: r.id(0)?,
                created_at: r.time(1)?,
                name: r.text(2)?,
                hint: r.text(3)?,
                scopes: scopes(r, 4)?,
                revoked_at: r.time_opt(5)?,
                expires_at: r.time_opt(6)?,
                last_used_at: r.time_opt(7)?,
                replaces: r.id_opt(8)?,
            })
        })
        .await
    }

    pub(super) async fn key_revoke(&self, ws: WorkspaceId, key: KeyId) -> Result<bool, StoreError> {
        self.dispatch_hold(ws).await?;
        let id = params![key.seq64(), key.secs(), ws.seq64(), self.now()];
        if self.exec(pg!("key/revoke"), id).await? == 0 {
            return Ok(false);
        }
        self.dispatch_bump(ws.seq64()).await?;
        Ok(true)
    }

    pub(super) async fn key_rotate(
        &self,
        ws: WorkspaceId,
        key: KeyId,
        rotation: &KeyRotation,
    ) -> Result<KeyRecord, KeyError> {
        // Whoever revokes or rotates a key of the workspace holds this, so what is read stays.
        self.dispatch_hold(ws).await?;
        let (seq, now) = (key.seq64(), self.now());
        let id = params![seq, key.secs(), ws.seq64(), now];
        let old = self
            .one(pg!("key/fetch"), id, |r| {
                let replaces: Option<i64> = r.int_opt(3)?;
                Ok((r.text(0)?, scopes(r, 1)?, r.flag(2)?, replaces))
            })
            .await?;
        let Some((name, scopes, is_good, replaces)) = old else { return Err(KeyError::NotFound) };
        if !is_good {
            return Err(KeyError::Over);
        }
        let of_this = params![ws.seq64(), seq, now];
        if let Some(next) = self.one(pg!("key/successor"), of_this, |r| r.id(0)).await? {
            return Err(KeyError::HasSuccessor(next));
        }
        if let Some(older) = replaces {
            self.exec(pg!("key/revoke_replaced"), params![older, ws.seq64(), now]).await?;
        }
        let until = now.after(rotation.old_for);
        self.exec(pg!("key/end_at"), params![seq, ws.seq64(), until]).await?;
        let KeyRotation { hash, hint, expires_at, .. } = rotation;
        let (hash, hint, expires_at) = (*hash, hint.clone(), *expires_at);
        let new = NewKey { hash, hint, name, scopes, expires_at };
        let made = self.key_insert(ws, &new, Some(key)).await?;
        self.dispatch_bump(ws.seq64()).await?;
        Ok(made)
    }

    pub(super) async fn key_touch(&self, keys: &[KeyId]) -> Result<u32, StoreError> {
        let seqs: Vec<i64> = keys.iter().map(|k| k.seq64()).collect();
        let seconds: Vec<i64> = keys.iter().map(|k| k.secs()).collect();
        let (now, before) = (self.now(), self.now().before(KEY_USE_EVERY));
        let written = self.exec(pg!("key/touch"), params![seqs, seconds, now, before]).await?;
        Ok(u32::try_from(written).unwrap_or(u32::MAX))
    }

    pub(super) async fn key_authenticate(
        &self,
        hash: &[u8; 32],
    ) -> Result<Option<Principal>, StoreError> {
        self.one(pg!("key/authenticate"), params![*hash, self.now()], |r| {
            Ok(Principal {
                key: r.id(0)?,
                workspace: r.id(2)?,
                user: r.id(4)?,
                scopes: scopes(r, 6)?,
                last_used_at: r.time_opt(7)?,
            })
        })
        .await
    }

    async fn key_insert(
        &self,
        ws: WorkspaceId,
        key: &NewKey,
        replaces: Option<KeyId>,
    ) -> Result<KeyRecord, StoreError> {
        let now = self.now();
        let scopes = scope_words(&key.scopes);
        let replaced = replaces.map(|k| k.seq64());
        let row = params![
            now,
            ws.seq64(),
            key.hash,
            key.hint,
            key.name,
            scopes,
            key.expires_at,
            replaced
        ];
        let seq = self.insert(pg!("key/insert"), row).await?;
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

fn scope_words(scopes: &Scopes) -> String {
    scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(",")
}

fn scopes(row: &Row, i: usize) -> Result<Scopes, StoreError> {
    row.word(i, |words| {
        words.split(',').filter(|w| !w.is_empty()).map(Scope::parse).collect::<Option<Scopes>>()
    })
}
