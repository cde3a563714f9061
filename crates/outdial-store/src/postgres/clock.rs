//! The database's clock, which all nodes go by.

use outdial_core::time::Timestamp;
use outdial_ports::store::StoreError;
use tokio_postgres::SimpleQueryMessage;

use super::error::corrupt;
use super::tx::only_value;

/// Asks for it.
pub(super) const ASK: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// Its answer.
pub(super) fn read(messages: &[SimpleQueryMessage]) -> Result<Timestamp, StoreError> {
    let millis = only_value(messages).and_then(|text| text.parse().ok());
    millis.map(Timestamp::from_millis).ok_or_else(|| corrupt("clock"))
}
