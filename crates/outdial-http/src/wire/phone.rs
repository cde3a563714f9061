//! Calling numbers.

use outdial_core::id::{TrunkId, UserId};
use outdial_core::time::Timestamp;
use outdial_ports::store::{Integration, PhonePatch, PhoneRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::decimal;
use super::faults::Faults;
use super::present;
use crate::error::ApiResult;

/// Fastest that a number may be told to call, in calls per second.
pub(crate) const CPS_MAX: f64 = 10_000.0;
/// Most live calls that a number may be told to hold.
pub(crate) const CHANNELS_MAX: u32 = 100_000;
/// Most attempts a day that a number may be told.
pub(crate) const CALLS_PER_DAY_MAX: u32 = 1_000_000;
/// Most trunks behind the first one of a number: a call is given up after five refusals.
const FAILOVER_MAX: usize = 4;
/// Dearest minute, in millionths.
const PRICE_MAX: u64 = 1_000_000_000_000;

/// A calling number to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddPhone {
    /// The caller's own user.
    #[schema(value_type = String)]
    pub(crate) user_id: Option<String>,
    /// In international form; a leading `+` is optional. String or integer.
    #[schema(value_type = String)]
    pub(crate) phone_number: Option<Value>,
    /// `sip`: over SIP trunks. `simulated`: no telephone is touched. (`plivo`, `twilio`, `telnyx`:
    /// not in this version.)
    #[schema(value_type = String)]
    pub(crate) integration: Option<String>,
    /// With `sip`: the trunk that its calls go out over.
    pub(crate) trunk_id: Option<String>,
    /// With `sip`: the trunks that take a call which the one before could not place, in their
    /// order, at most 4.
    #[serde(default)]
    pub(crate) failover_trunk_ids: Vec<String>,
    /// Who talks on its calls.
    pub(crate) agent_id: Option<String>,
    /// Attempts a calendar day of the workspace's zone, 1–1,000,000. Default: unlimited.
    pub(crate) calls_per_day: Option<i64>,
    /// What a minute of talk costs, with at most 6 decimals; a number or a string. A budget of
    /// money needs it.
    #[schema(value_type = Option<f64>)]
    pub(crate) price_per_minute: Option<Box<RawValue>>,
}

impl AddPhone {
    /// Its trunks, in the order of preference.
    pub(crate) fn trunks(&self, integration: Integration) -> ApiResult<Vec<TrunkId>> {
        let mut faults = Faults::default();
        let trunks = match integration {
            Integration::Sip => {
                trunk_ids(&mut faults, self.trunk_id.as_deref(), &self.failover_trunk_ids)
            }
            Integration::Simulated => {
                if self.trunk_id.is_some() || !self.failover_trunk_ids.is_empty() {
                    faults.add("trunkId", "a simulated number has no trunk: leave it out");
                }
                Vec::new()
            }
        };
        faults.finish()?;
        Ok(trunks)
    }

    /// The limits, in the words of the store; none: it names none.
    pub(crate) fn limits(&self) -> ApiResult<Option<PhonePatch>> {
        let mut faults = Faults::default();
        let calls_per_day =
            faults.whole("callsPerDay", self.calls_per_day, 1, CALLS_PER_DAY_MAX).map(Some);
        let price = price(&mut faults, self.price_per_minute.as_deref()).map(Some);
        faults.finish()?;
        let patch = PhonePatch { calls_per_day, price, ..PhonePatch::default() };
        Ok((calls_per_day.is_some() || price.is_some()).then_some(patch))
    }
}

/// A calling number.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Phone {
    /// Which.
    #[serde(rename = "_id")]
    pub(crate) id: String,
    /// Whose.
    pub(crate) user_id: String,
    /// E.164 without `+`.
    pub(crate) phone_number: String,
    /// How its calls go out.
    pub(crate) integration: &'static str,
    /// Of a `sip` number: the trunk that its calls go out over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trunk_id: Option<String>,
    /// Of a `sip` number: the trunks that take a call which the one before could not place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) failover_trunk_ids: Vec<String>,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    /// Who talks on its calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_id: Option<String>,
    /// Its own limit of calls per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls_per_second: Option<f64>,
    /// Its own limit of live calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<u32>,
    /// Its own limit of attempts a calendar day of the workspace's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls_per_day: Option<u32>,
    /// What a minute of talk costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    pub(crate) price_per_minute: Option<Box<RawValue>>,
}

impl Phone {
    /// As it is shown to `user`.
    pub(crate) fn of(record: &PhoneRecord, user: UserId) -> Self {
        let mut trunks = match record.integration {
            Integration::Sip => record.trunks.as_slice(),
            Integration::Simulated => &[],
        }
        .iter()
        .map(TrunkId::to_string);
        Self {
            id: record.id.to_string(),
            user_id: user.to_string(),
            phone_number: record.number.to_string(),
            integration: record.integration.as_str(),
            trunk_id: trunks.next(),
            failover_trunk_ids: trunks.collect(),
            created_at: record.created_at,
            agent_id: record.agent.map(|a| a.to_string()),
            calls_per_second: record.limits.calls_per_second,
            channels: record.limits.channels,
            calls_per_day: record.limits.calls_per_day,
            price_per_minute: record.price.map(decimal::money),
        }
    }
}

/// All calling numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Phones {
    /// Oldest first.
    pub(crate) phones: Vec<Phone>,
}

/// What to change; absent leaves as it is, `null` takes the binding or the limit away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PatchPhone {
    /// Who talks on its calls.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) agent_id: Option<Option<String>>,
    /// Of a `sip` number: the trunk that its calls go out over. Without `failoverTrunkIds` beside
    /// it there is no other.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(crate) trunk_id: Option<Option<String>>,
    /// Of a `sip` number, beside `trunkId`: the trunks that take a call which the one before could
    /// not place, in their order, at most 4.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(crate) failover_trunk_ids: Option<Option<Vec<String>>>,
    /// Calls per second, fractions included.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<f64>)]
    pub(crate) calls_per_second: Option<Option<f64>>,
    /// Live calls at once.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) channels: Option<Option<i64>>,
    /// Attempts a calendar day of the workspace's zone, 1–1,000,000.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    pub(crate) calls_per_day: Option<Option<i64>>,
    /// What a minute of talk costs, with at most 6 decimals; a number or a string.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<f64>)]
    pub(crate) price_per_minute: Option<Option<Box<RawValue>>>,
}

impl PatchPhone {
    /// In the words of the store.
    pub(crate) fn parse(self) -> ApiResult<PhonePatch> {
        let mut faults = Faults::default();
        let agent = self
            .agent_id
            .map(|id| id.and_then(|id| id.parse().map_err(|e| faults.add("agentId", e)).ok()));
        if let Some(Some(cps)) = self.calls_per_second
            && !(cps > 0.0 && cps <= CPS_MAX)
        {
            faults.add("callsPerSecond", format!("write more than 0, at most {CPS_MAX}"));
        }
        let failover = self.failover_trunk_ids.flatten().unwrap_or_default();
        let trunks = match faults.some("trunkId", self.trunk_id) {
            Some(first) => Some(trunk_ids(&mut faults, Some(&first), &failover)),
            None if failover.is_empty() => None,
            None => {
                faults.add("failoverTrunkIds", "write trunkId beside it");
                None
            }
        };
        let channels = self.channels.map(|n| faults.whole("channels", n, 1, CHANNELS_MAX));
        let calls_per_day =
            self.calls_per_day.map(|n| faults.whole("callsPerDay", n, 1, CALLS_PER_DAY_MAX));
        let price = self.price_per_minute.map(|p| price(&mut faults, p.as_deref()));
        faults.finish()?;
        let calls_per_second = self.calls_per_second;
        Ok(PhonePatch { agent, trunks, calls_per_second, channels, calls_per_day, price })
    }
}

/// A trunk, and those behind it.
fn trunk_ids(faults: &mut Faults, first: Option<&str>, others: &[String]) -> Vec<TrunkId> {
    let mut ids = Vec::new();
    let mut add = |field: String, text: &str, faults: &mut Faults| match text.parse::<TrunkId>() {
        Ok(id) if ids.contains(&id) => faults.add(field, "names a trunk twice"),
        Ok(id) => ids.push(id),
        Err(e) => faults.add(field, e),
    };
    match first {
        Some(text) => add("trunkId".to_owned(), text, faults),
        None => faults.add("trunkId", "is missing: a sip number goes out over a trunk"),
    }
    if others.len() > FAILOVER_MAX {
        faults.add("failoverTrunkIds", format!("has more than {FAILOVER_MAX}"));
    }
    for (i, text) in others.iter().take(FAILOVER_MAX).enumerate() {
        add(format!("failoverTrunkIds[{i}]"), text, faults);
    }
    ids
}

fn price(faults: &mut Faults, raw: Option<&RawValue>) -> Option<u64> {
    let price = decimal::units(raw?, decimal::MONEY_PLACES).filter(|n| *n <= PRICE_MAX);
    if price.is_none() {
        let right = "write 0 to 1000000 with at most 6 decimals, like 0.0125";
        faults.add("pricePerMinute", right);
    }
    price
}
