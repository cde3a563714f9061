//! What goes over the wire, with its OpenAPI schemas.

pub(crate) mod agent;
pub(crate) mod batch;
pub(crate) mod batch_details;
pub(crate) mod batch_settings;
pub(crate) mod budget;
pub(crate) mod call;
pub(crate) mod decimal;
pub(crate) mod dnc;
pub(crate) mod envelope;
pub(crate) mod faults;
pub(crate) mod forecast;
pub(crate) mod key;
pub(crate) mod page;
pub(crate) mod phone;
pub(crate) mod record;
pub(crate) mod settings;

use serde::{Deserialize, Deserializer};

/// For fields of a PATCH: absent leaves as it is, `null` clears.
///
/// Beside `#[serde(default, deserialize_with = "present")]` an absent field is `None`.
pub(crate) fn present<'de, T, D>(d: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(d).map(Some)
}
