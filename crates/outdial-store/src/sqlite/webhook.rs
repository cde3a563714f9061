//! Webhook endpoints.

use outdial_core::id::{WebhookId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    EventKind, NewWebhook, Secret, StoreError, WEBHOOKS_MAX, WebhookError, WebhookPatch,
    WebhookRecord, WebhookSpec,
};
use rusqlite::{Row, params};

use super::db::SqliteDb;
use super::error::corrupt;
use super::rows::{Id, RowExt};
use super::sql;
use crate::events::{kinds_of, kinds_text, patched, webhook_data};

impl SqliteDb {
    pub(super) fn webhook_create(
        &mut self,
        ws: WorkspaceId,
        new: &NewWebhook,
    ) -> Result<WebhookRecord, WebhookError> {
        let counted = self.one(sql!("webhook/count"), [ws.seq64()], |r| r.int(0))?;
        if counted.is_some_and(|n: usize| n >= WEBHOOKS_MAX) {
            return Err(WebhookError::TooMany);
        }
        let spec = &new.spec;
        let row = params![
            self.now().as_millis(),
            ws.seq64(),
            spec.url,
            spec.description,
            kinds_text(spec.events.as_deref()),
            new.secret.0,
        ];
        let seq = self.insert(sql!("webhook/insert"), row)?;
        Ok(self.webhook_by_seq(seq)?)
    }

    pub(super) fn webhook_list(
        &mut self,
        ws: WorkspaceId,
    ) -> Result<Vec<WebhookRecord>, StoreError> {
        self.all(sql!("webhook/list"), [ws.seq64()], webhook)
    }

    pub(super) fn webhook_fetch(
        &mut self,
        ws: WorkspaceId,
        id: WebhookId,
    ) -> Result<Option<WebhookRecord>, StoreError> {
        let found = self.one(sql!("webhook/fetch"), params![id.seq64(), id.secs()], webhook)?;
        Ok(found.filter(|w| w.workspace == ws))
    }

    pub(super) fn webhook_update(
        &mut self,
        ws: WorkspaceId,
        id: WebhookId,
        patch: &WebhookPatch,
    ) -> Result<WebhookRecord, WebhookError> {
        let was = self.webhook_fetch(ws, id)?.ok_or(WebhookError::NotFound)?;
        let is = patched(was, patch, self.now());
        let (disabled_at, reason) = is.disabled.unzip();
        let row = params![
            id.seq64(),
            self.now().as_millis(),
            is.spec.url,
            is.spec.description,
            kinds_text(is.spec.events.as_deref()),
            disabled_at.map(Timestamp::as_millis),
            reason,
            is.failing_since.map(Timestamp::as_millis),
        ];
        self.exec(sql!("webhook/update"), row)?;
        Ok(self.webhook_by_seq(id.seq64())?)
    }

    pub(super) fn webhook_rotate(
        &mut self,
        ws: WorkspaceId,
        id: WebhookId,
        secret: &Secret,
        old_until: Timestamp,
    ) -> Result<WebhookRecord, WebhookError> {
        self.webhook_fetch(ws, id)?.ok_or(WebhookError::NotFound)?;
        let now = self.now().as_millis();
        let row = params![id.seq64(), now, secret.0, old_until.as_millis()];
        self.exec(sql!("webhook/rotate"), row)?;
        Ok(self.webhook_by_seq(id.seq64())?)
    }

    pub(super) fn webhook_delete(
        &mut self,
        ws: WorkspaceId,
        id: WebhookId,
    ) -> Result<bool, StoreError> {
        if self.webhook_fetch(ws, id)?.is_none() {
            return Ok(false);
        }
        let now = self.now().as_millis();
        self.exec(sql!("webhook/delete"), params![id.seq64(), now])?;
        Ok(true)
    }

    pub(super) fn webhook_disable(
        &mut self,
        id: WebhookId,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let row = params![id.seq64(), id.secs(), self.now().as_millis(), reason];
        let url: Option<String> = self.one(sql!("webhook/disable"), row, |r| r.get(0))?;
        let Some(url) = url else { return Ok(false) };
        let told = webhook_data(id, &url, reason)?;
        self.tell(EventKind::WebhookDisabled, None, Some(id.seq64()), &told)?;
        Ok(true)
    }

    pub(super) fn webhook_by_seq(&self, seq: i64) -> Result<WebhookRecord, StoreError> {
        self.one(sql!("webhook/by_seq"), [seq], webhook)?
            .ok_or_else(|| corrupt("lack of a webhook"))
    }
}

fn webhook(r: &Row<'_>) -> rusqlite::Result<WebhookRecord> {
    let secret = |text: Option<String>| text.map(Secret);
    let disabled_at = r.time_opt(10)?;
    let reason: Option<String> = r.get(11)?;
    Ok(WebhookRecord {
        id: r.id(0)?,
        workspace: r.id(2)?,
        spec: WebhookSpec { url: r.get(4)?, description: r.get(5)?, events: kinds_of(r.get(6)?) },
        secret: Secret(r.get(7)?),
        old_secret: secret(r.get(8)?).zip(r.time_opt(9)?),
        disabled: disabled_at.map(|at| (at, reason.unwrap_or_default())),
        failing_since: r.time_opt(12)?,
        created_at: r.time(1)?,
        updated_at: r.time(13)?,
    })
}
