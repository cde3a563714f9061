//! A list of people in thirty and more zones, for the forecast's benchmark and its test, and the
//! judge of every attempt: the slow and obvious reference of `outdial-core`, which shares neither
//! time zones nor calendar nor rules with the core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use outdial_core::batch::BatchSettings;
use outdial_core::brake::{BrakeSettings, Pulse};
use outdial_core::budget::Spend;
use outdial_core::call::WaitReason;
use outdial_core::contact::{Checker, Faults, Rules};
use outdial_core::dispatcher::{
    BatchHead, Bucket, GroupKey, Head, LineLimits, NumberHead, TrunkHead,
};
use outdial_core::hours::CallingHours;
use outdial_core::id::{BatchId, PhoneId, TrunkId, WorkspaceId};
use outdial_core::phone::{self, PhoneNumber};
use outdial_core::phone_zones::zones_of;
use outdial_core::settings::CallingRules;
use outdial_core::time::Timestamp;
use outdial_core::variables::VariableSchema;
use outdial_core::zone::{Class, Zone};

use crate::reference::{Hours, Reference, agree};

/// One number of each place; how the others of the list there differ does not matter to hours.
const NUMBERS: [&str; 44] = [
    "12125551234",
    "13125551234",
    "13035551234",
    "13105551234",
    "16025551234",
    "19075551234",
    "18085551234",
    "13055551234",
    "12145551234",
    "12065551234",
    "17095551234",
    "19025551234",
    "14165551234",
    "442079460000",
    "493012345678",
    "33142685300",
    "34911234567",
    "390612345678",
    "302101234567",
    "3589123456",
    "902121234567",
    "20223456789",
    "27112345678",
    "212522123456",
    "97142345678",
    "922123456789",
    "911123456789",
    "97714123456",
    "88029876543",
    "6621234567",
    "6561234567",
    "85221234567",
    "81312345678",
    "82212345678",
    "61292345678",
    "61882345678",
    "61892345678",
    "6493001234",
    "68522123",
    "595212345678",
    "551123456789",
    "541123456789",
    "56221234567",
    "525512345678",
];
/// The batch's hours: from this hour, to this one, on Monday to Saturday.
const HOURS: (i8, i8) = (9, 18);

/// The batch that is forecast.
pub(crate) fn batch() -> BatchId {
    BatchId::from_parts(0, 1)
}

/// Says of every attempt whether it may leave.
pub(crate) struct Judge {
    by_class: BTreeMap<Class, Reference>,
}

impl Judge {
    /// For these people, for so long. The judge's time zones are of another year than the core's;
    /// they must say the same of these places in this time.
    pub(crate) fn new(people: &[Bucket], from: Timestamp, until: Timestamp) -> Self {
        let (start, end) = HOURS;
        let minutes = |hour: i8| u16::from(hour.unsigned_abs()) * 60;
        let hours = Hours { window: Some((minutes(start), minutes(end))), days: 0b111_1110 };
        let reference = |bucket: &Bucket| {
            let class = Class::clone(&bucket.zones);
            let (from, until) = (from.as_millis(), until.as_millis());
            assert!(agree(&class, from, until), "two opinions about the clocks of {class}");
            let reference = Reference::new(&class.to_string(), &hours);
            (class, reference)
        };
        Self { by_class: people.iter().map(reference).collect() }
    }

    /// By batch hours and calling rules, both.
    pub(crate) fn may_leave(&self, class: &Class, at: Timestamp) -> bool {
        self.by_class.get(class).is_some_and(|r| r.at(at.as_millis()) == (true, true))
    }
}

/// `contacts` people spread over the places, and how many different sets of zones those have.
pub(crate) fn people(contacts: u64) -> (Vec<Bucket>, usize) {
    let countries = NUMBERS.iter().filter_map(|n| phone::parse(n).ok()?.country);
    let mut checker = Checker::new(Rules {
        schema: VariableSchema::default(),
        allowed_countries: countries.collect(),
        allow_special_numbers: false,
        batch_zone: None,
        workspace_zone: Zone::utc(),
        candidate_zones: zones_of,
    });
    let (mut faults, mut zones, mut buckets) = (Faults::default(), BTreeSet::new(), Vec::new());
    let places = NUMBERS.len() as u64;
    for (index, number) in (0u32..).zip(NUMBERS) {
        let record = format!(r#"{{"phoneNumber":"{number}"}}"#);
        let Some(contact) = checker.check_text(index, &record, &mut faults) else {
            panic!("{number}: {:?}", faults.kept());
        };
        let text = checker.class_text(contact.class).clone();
        let class: Class = text.parse().expect("the checker writes classes");
        zones.insert(class.zones().to_vec());
        let count = contacts / places + u64::from(u64::from(index) < contacts % places);
        buckets.push(Bucket {
            group: GroupKey { batch: batch(), lane: 0, class: index, is_retry: false },
            zones: Arc::new(class),
            charged: 0,
            uncharged: 0,
            reason: WaitReason::Due,
            not_before: Timestamp::EPOCH,
            earliest: Timestamp::EPOCH,
            count,
        });
    }
    (buckets, zones.len())
}

/// A workspace whose ten numbers may place `calls_per_day` each.
pub(crate) fn workspace(calls_per_day: u32, settings: BatchSettings, now: Timestamp) -> Head {
    let trunk = TrunkId::from_parts(0, 1);
    let ids: Vec<PhoneId> = (1..=10).map(|n| PhoneId::from_parts(0, n)).collect();
    let number = |(n, id): (u64, &PhoneId)| NumberHead {
        id: *id,
        number: PhoneNumber::from_digits(12_025_550_100 + n),
        trunks: vec![trunk],
        limits: LineLimits { calls_per_day: Some(calls_per_day), ..LineLimits::default() },
        live: 0,
        slots: Vec::new(),
        price: None,
        placed_by_day: Vec::new(),
    };
    let limits =
        LineLimits { calls_per_second: Some(1.0), channels: Some(20), calls_per_day: None };
    Head {
        workspace: WorkspaceId::from_parts(0, 1),
        version: 1,
        clock: now,
        concurrency: None,
        live: 0,
        rules: CallingRules::On,
        zone: Zone::utc(),
        attempts_24h: None,
        brakes: BrakeSettings::default(),
        numbers: (0..).zip(&ids).map(number).collect(),
        batches: vec![BatchHead {
            id: batch(),
            settings: Arc::new(settings),
            numbers: ids,
            lane: None,
            live: 0,
            spent: Spend::NONE,
            spent_by_day: Vec::new(),
            pulse: Pulse::default(),
            pulse_ever: Pulse::default(),
            brake: Default::default(),
        }],
        trunks: vec![TrunkHead {
            id: trunk,
            limits,
            live: 0,
            slots: Vec::new(),
            paused_until: None,
            is_down: false,
            max_call_s: None,
        }],
    }
}

/// The batch's settings: working hours, three retries a day and a bit apart.
pub(crate) fn settings() -> BatchSettings {
    let (start, end) = (format!("{:02}:00", HOURS.0), format!("{:02}:00", HOURS.1));
    let hours = CallingHours::new(Some((&start, &end)), Some(&[1, 2, 3, 4, 5, 6]));
    BatchSettings {
        retry: 3,
        delay_s: 100_000,
        calling_hours: hours.expect("hours"),
        retry_voicemail: true,
        ..BatchSettings::default()
    }
}
