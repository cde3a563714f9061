//! What a file of `outdial simulate` has beside a batch and its calls: what a server would know.

use std::collections::BTreeMap;

use outdial_core::contact::json;
use outdial_core::dispatcher::{LineLimits, NumberHead};
use outdial_core::id::{PhoneId, TrunkId};
use outdial_core::phone::{self, PhoneNumber};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::body::parse_object;
use crate::error::ApiResult;
use crate::wire::decimal;
use crate::wire::faults::Faults;
use crate::wire::object;
use crate::wire::phone::{CALLS_PER_DAY_MAX, CHANNELS_MAX, CPS_MAX};
use crate::wire::settings::PatchSettings;

/// Limits of a SIP trunk of which nobody says more.
pub(super) const TRUNK: LineLimits =
    LineLimits { calls_per_second: Some(1.0), channels: Some(10), calls_per_day: None };
/// The only trunk there is.
pub(super) const THE_TRUNK: TrunkId = TrunkId::from_parts(0, 1);

/// What a file can have.
const FIELDS: [&str; 21] = [
    "allowedDays",
    "batchName",
    "budget",
    "call_data",
    "callingHour",
    "callingNumbers",
    "canary",
    "concurrency",
    "delay",
    "enableDNC",
    "expiresAt",
    "maxCallSeconds",
    "numbers",
    "redialUnknown",
    "retry",
    "retryVoicemail",
    "timezone",
    "trunk",
    "userId",
    "weight",
    "workspace",
];

/// What a file has beside the fields of `createBatch` and `call_data`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Surroundings {
    #[serde(default, deserialize_with = "object")]
    pub(super) trunk: Option<Trunk>,
    pub(super) numbers: Option<Vec<Box<RawValue>>>,
    #[serde(default, deserialize_with = "object")]
    pub(super) workspace: Option<PatchSettings>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Trunk {
    pub(super) calls_per_second: Option<f64>,
    pub(super) channels: Option<i64>,
}

/// A calling number with its limits; alone, it is only the text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Number {
    phone_number: Box<RawValue>,
    calls_per_second: Option<f64>,
    channels: Option<i64>,
    calls_per_day: Option<i64>,
    price_per_minute: Option<Box<RawValue>>,
}

/// A misspelled wish must not be one that nobody heard. The server, which takes requests of other
/// versions of the API, is not so strict.
pub(super) fn known_fields(file: &[u8]) -> ApiResult<()> {
    let fields: BTreeMap<String, IgnoredAny> = parse_object(file, "the file")?;
    let mut faults = Faults::default();
    for field in fields.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
        faults.add(field, format!("is not known; a file has {}", FIELDS.join(", ")));
    }
    faults.finish()
}

pub(super) fn line(
    faults: &mut Faults,
    what: &str,
    cps: Option<f64>,
    channels: Option<i64>,
    default: LineLimits,
) -> LineLimits {
    if cps.is_some_and(|cps| cps <= 0.0 || cps > CPS_MAX) {
        faults
            .add(format!("{what}.callsPerSecond"), format!("write more than 0, at most {CPS_MAX}"));
    }
    let channels = faults.whole(&format!("{what}.channels"), channels, 1, CHANNELS_MAX);
    LineLimits {
        calls_per_second: cps.or(default.calls_per_second),
        channels: channels.or(default.channels),
        calls_per_day: None,
    }
}

/// The calling numbers, without ids of a store.
pub(super) fn numbers(faults: &mut Faults, raw: &[Box<RawValue>]) -> Vec<NumberHead> {
    let mut numbers: Vec<NumberHead> = Vec::new();
    for (i, raw) in raw.iter().enumerate() {
        let what = format!("numbers[{i}]");
        let (text, wish) = match raw.get().starts_with('{') {
            false => (Ok(raw.clone()), None),
            true => match parse_object::<Number>(raw.get().as_bytes(), "the number") {
                Ok(number) => (Ok(number.phone_number.clone()), Some(number)),
                Err(e) => (Err(e.outer().to_owned()), None),
            },
        };
        let parsed = text.and_then(|text| number(&text));
        let number = match parsed {
            Ok(number) => number,
            Err(why) => {
                faults.add(&what, why);
                continue;
            }
        };
        let mut head = NumberHead {
            id: PhoneId::from_parts(0, numbers.len() as u64 + 1),
            number,
            trunks: vec![THE_TRUNK],
            limits: LineLimits::default(),
            live: 0,
            slots: Vec::new(),
            price: None,
            placed_by_day: Vec::new(),
        };
        if let Some(wish) = wish {
            let none = LineLimits::default();
            head.limits = line(faults, &what, wish.calls_per_second, wish.channels, none);
            let field = format!("{what}.callsPerDay");
            head.limits.calls_per_day =
                faults.whole(&field, wish.calls_per_day, 1, CALLS_PER_DAY_MAX);
            if let Some(raw) = &wish.price_per_minute {
                head.price = decimal::units(raw, decimal::MONEY_PLACES);
                if head.price.is_none() {
                    let right = "write a price with at most 6 decimals, like 0.0125";
                    faults.add(format!("{what}.pricePerMinute"), right);
                }
            }
        }
        numbers.push(head);
    }
    numbers
}

fn number(raw: &RawValue) -> Result<PhoneNumber, String> {
    let text = json::phone_text(raw.get()).ok_or("write a phone number like \"12125551234\"")?;
    phone::parse(&text).map(|parsed| parsed.number).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_file_can_have_all_that_a_batch_can() {
        let api: serde_json::Value = serde_json::from_str(&crate::openapi()).unwrap();
        let schema = &api["components"]["schemas"]["CreateBatch"]["properties"];
        let mut known: BTreeSet<&str> =
            schema.as_object().unwrap().keys().map(String::as_str).collect();
        known.extend(["call_data", "numbers", "trunk", "workspace"]);
        assert_eq!(BTreeSet::from(FIELDS), known);
    }
}
