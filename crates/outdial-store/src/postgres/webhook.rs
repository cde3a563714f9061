//! Webhook endpoints.

use outdial_core::id::{WebhookId, WorkspaceId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{
    EventKind, NewWebhook, Secret, StoreError, WEBHOOKS_MAX, WebhookError, WebhookPatch,
    WebhookRecord, WebhookSpec,
};
use tokio_postgres::Row;

use super::error::corrupt;
use super::params::params;
use super::pg;
use super::rows::{Id, RowExt};
use super::tx::PgTx;
use crate::events::{kinds_of, kinds_text, patched, webhook_data};

impl PgTx<'_> {
    pub(super) async fn webhook_create(
        &self,
        ws: WorkspaceId,
        new: &NewWebhook,
    ) -> Result<WebhookRecord, WebhookError> {
        self.all(pg!("webhook/hold"), params![ws.seq64()], |_| Ok(())).await?;
        let counted = self.one(pg!("webhook/count"), params![ws.seq64()], |r| r.int(0)).await?;
        if counted.is_some_and(|n: usize| n >= WEBHOOKS_MAX) {
            return Err(WebhookError::TooMany);
        }
        let spec = &new.spec;
        let row = params![
            self.now(),
            ws.seq64(),
            spec.url,
            spec.description,
            kinds_text(spec.events.as_deref()),
            new.secret.0,
        ];
        let seq = self.insert(pg!("webhook/insert"), row).await?;
        Ok(self.webhook_by_seq(seq).await?)
    }

    pub(super) async fn webhook_list(
        &self,
        ws: WorkspaceId,
    ) -> Result<Vec<WebhookRecord>, StoreError> {
        self.all(pg!("webhook/list"), params![ws.seq64()], webhook).await
    }

    pub(super) async fn webhook_fetch(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
    ) -> Result<Option<WebhookRecord>, StoreError> {
        let found = self.webhooks(vec![id.seq64()]).await?.pop();
        Ok(found.filter(|w| w.id == id && w.workspace == ws))
    }

    /// One of the workspace; until this transaction ends nobody else changes it.
    async fn webhook_own(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
    ) -> Result<Option<WebhookRecord>, StoreError> {
        self.all(pg!("webhook/hold_one"), params![id.seq64()], |_| Ok(())).await?;
        self.webhook_fetch(ws, id).await
    }

    pub(super) async fn webhook_update(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
        patch: &WebhookPatch,
    ) -> Result<WebhookRecord, WebhookError> {
        let was = self.webhook_own(ws, id).await?.ok_or(WebhookError::NotFound)?;
        let is = patched(was, patch, self.now());
        let (disabled_at, reason) = is.disabled.unzip();
        let row = params![
            id.seq64(),
            self.now(),
            is.spec.url,
            is.spec.description,
            kinds_text(is.spec.events.as_deref()),
            disabled_at.map(Timestamp::as_millis),
            reason,
            is.failing_since.map(Timestamp::as_millis),
        ];
        self.exec(pg!("webhook/update"), row).await?;
        Ok(self.webhook_by_seq(id.seq64()).await?)
    }

    pub(super) async fn webhook_rotate(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
        secret: &Secret,
        old_until: Timestamp,
    ) -> Result<WebhookRecord, WebhookError> {
        self.webhook_own(ws, id).await?.ok_or(WebhookError::NotFound)?;
        let row = params![id.seq64(), self.now(), secret.0, old_until];
        self.exec(pg!("webhook/rotate"), row).await?;
        Ok(self.webhook_by_seq(id.seq64()).await?)
    }

    pub(super) async fn webhook_delete(
        &self,
        ws: WorkspaceId,
        id: WebhookId,
    ) -> Result<bool, StoreError> {
        if self.webhook_own(ws, id).await?.is_none() {
            return Ok(false);
        }
        self.exec(pg!("webhook/delete"), params![id.seq64(), self.now()]).await?;
        Ok(true)
    }

    pub(super) async fn webhook_disable(
        &self,
        id: WebhookId,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let row = params![id.seq64(), id.secs(), self.now(), reason];
        let url: Option<String> = self.one(pg!("webhook/disable"), row, |r| r.text(0)).await?;
        let Some(url) = url else { return Ok(false) };
        let told = webhook_data(id, &url, reason)?;
        self.tell(EventKind::WebhookDisabled, None, Some(id.seq64()), &told).await?;
        Ok(true)
    }

    /// Those of these that are not deleted.
    pub(super) async fn webhooks(&self, seqs: Vec<i64>) -> Result<Vec<WebhookRecord>, StoreError> {
        self.all(pg!("webhook/fetch"), params![seqs], webhook).await
    }

    async fn webhook_by_seq(&self, seq: i64) -> Result<WebhookRecord, StoreError> {
        self.webhooks(vec![seq]).await?.pop().ok_or_else(|| corrupt("lack of a webhook"))
    }
}

fn webhook(r: &Row) -> Result<WebhookRecord, StoreError> {
    let reason = r.text_opt(11)?.unwrap_or_default();
    Ok(WebhookRecord {
        id: r.id(0)?,
        workspace: r.id(2)?,
        spec: WebhookSpec {
            url: r.text(4)?,
            description: r.text(5)?,
            events: kinds_of(r.text_opt(6)?),
        },
        secret: Secret(r.text(7)?),
        old_secret: r.text_opt(8)?.map(Secret).zip(r.time_opt(9)?),
        disabled: r.time_opt(10)?.map(|at| (at, reason)),
        failing_since: r.time_opt(12)?,
        created_at: r.time(1)?,
        updated_at: r.time(13)?,
    })
}
