//! The forecast of a file: a batch, its calls and its limits, checked as the API checks them, and
//! run without server or database (`outdial simulate`).
//!
//! Reads no file and no clock: bytes and the instant are arguments.

mod file;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outdial_core::batch::BatchSettings;
use outdial_core::brake::Pulse;
use outdial_core::budget::Spend;
use outdial_core::call::WaitReason;
use outdial_core::contact::{Checker, ClassId, FAULTS_SHOWN, Rules};
use outdial_core::dispatcher::{
    BatchHead, Bucket, GroupKey, Head, LineLimits, NumberHead, TrunkHead,
};
use outdial_core::forecast::{self, Assumptions, Forecast, Input};
use outdial_core::hours::Allowed;
use outdial_core::id::{BatchId, PhoneId, WorkspaceId};
use outdial_core::phone::PhoneNumber;
use outdial_core::phone_zones::zones_of;
use outdial_core::rules::verdict;
use outdial_core::settings::WorkspaceSettings;
use outdial_core::time::Timestamp;
use outdial_core::variables::VariableSchema;
use outdial_core::zone::{Class, Zone};
use outdial_ingest::{BodyParser, validate_all};

use crate::body::parse_object;
use crate::error::{ApiError, ApiResult};
use crate::routes::forecast::{DAYS_MAX, TALK_MAX_S};
use crate::wire::batch_settings::CreateBatch;
use crate::wire::budget::check_prices;
use crate::wire::faults::Faults;
use crate::wire::forecast::{BatchForecast, never_text};

use file::{Surroundings, THE_TRUNK, TRUNK, known_fields, line, numbers};

pub use outdial_core::forecast::Never;

/// Who waits on the computer in front of him may wait longer than a request.
const TURNS_MAX: u64 = 50_000_000;

/// What to assume.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// When it begins.
    pub start: Timestamp,
    /// Length of the window, 1–366 days.
    pub days: u32,
    /// Share of attempts that a person answers, 0–1; none: the default.
    pub answer_rate: Option<f64>,
    /// Mean talk in seconds, 1–14,400; none: the default.
    pub talk_seconds: Option<f64>,
}

/// A forecast of a file.
#[derive(Debug)]
pub struct Simulation {
    /// Name of the batch.
    pub name: String,
    /// The workspace's zone.
    pub zone: Zone,
    /// The trunk's limits.
    pub trunk: LineLimits,
    /// Records that a later one of the same number replaces.
    pub duplicates: u64,
    /// What is going to happen.
    pub forecast: Forecast,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What is wrong, and what would be right.
    pub message: String,
    /// Faults of records, one a line; the first hundred.
    pub records: Vec<String>,
}

impl From<ApiError> for Refused {
    fn from(e: ApiError) -> Self {
        Self { message: e.outer().to_owned(), records: Vec::new() }
    }
}

impl Simulation {
    /// As `GET /api/call/forecast/{batchId}` has it under `data`; one line.
    ///
    /// # Panics
    /// Never: all of it can be written as JSON.
    pub fn json(&self) -> String {
        let shown = BatchForecast::of(None, &self.forecast);
        serde_json::to_string(&shown).expect("names and numbers are JSON")
    }
}

/// Why somebody is never reached, for people.
pub fn why_never(why: Never) -> String {
    never_text(why)
}

/// Reads a file and makes its forecast.
///
/// # Errors
/// What is not as the API would take it.
pub fn simulate(file: &[u8], wish: &Wish) -> Result<Simulation, Refused> {
    let assume = assumptions(wish)?;
    let mut batch: CreateBatch = parse_object(file, "the file")?;
    let around: Surroundings = parse_object(file, "the file")?;
    known_fields(file)?;
    let base = WorkspaceSettings::default();
    let workspace = match around.workspace {
        Some(patch) => patch.apply(base)?,
        None => base,
    };
    // Which ids the numbers of a server have does not matter here.
    batch.batch_name.get_or_insert_with(|| "Simulation".to_owned());
    batch.calling_numbers = Some(vec![PhoneId::from_parts(0, 1).to_string()]);
    let made = batch.parse(wish.start)?;
    let mut faults = Faults::default();
    let trunk = around.trunk.map_or(TRUNK, |trunk| {
        let cps = trunk.calls_per_second;
        line(&mut faults, "trunk", cps, trunk.channels, TRUNK)
    });
    let numbers = numbers(&mut faults, around.numbers.as_deref().unwrap_or_default());
    if numbers.is_empty() && workspace.allowed_countries.is_none() {
        let why = "name a calling number, or the countries under workspace.allowedCountries";
        faults.add("numbers", why);
    }
    faults.finish()?;
    let prices: Vec<Option<u64>> = numbers.iter().map(|n| n.price).collect();
    check_prices(&made.settings, &prices, "give one of `numbers` a pricePerMinute")?;
    let zone: Zone = workspace.timezone.parse().map_err(|e| ApiError::bad(format!("{e}")))?;
    let rules = Rules {
        schema: VariableSchema::default(),
        allowed_countries: Rules::allowed_countries(&workspace, numbers.iter().map(|n| n.number)),
        allow_special_numbers: workspace.allow_special_numbers,
        batch_zone: made.settings.zone(),
        workspace_zone: zone.clone(),
        candidate_zones: zones_of,
    };
    let (mut waiting, duplicates) = records(file, rules)?;
    // As at import: who can never be called is skipped at once.
    let (hours, never) = (&made.settings.calling_hours, Allowed::Closed { opens: None });
    let is_closed = |bucket: &Bucket| {
        verdict(hours, workspace.calling_rules, &bucket.zones, wish.start).allowed == never
    };
    let skipped = waiting.extract_if(.., |bucket| is_closed(bucket)).map(|b| b.count).sum();
    let input = Input {
        head: head(wish.start, &workspace, &zone, made.settings, (trunk, numbers)),
        waiting,
        batch: BATCH,
        assumes_start: false,
        assume,
        until: wish.start.after(Duration::from_secs(86_400 * u64::from(wish.days))),
        turns_max: TURNS_MAX,
    };
    let mut forecast = forecast::run(input);
    forecast.skip(skipped);
    Ok(Simulation { name: made.name, zone, trunk, duplicates, forecast })
}

const BATCH: BatchId = BatchId::from_parts(0, 1);

fn assumptions(wish: &Wish) -> ApiResult<Assumptions> {
    let mut faults = Faults::default();
    if !(1..=DAYS_MAX).contains(&wish.days) {
        faults.add("days", format!("write a whole number from 1 to {DAYS_MAX}"));
    }
    if wish.answer_rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
        faults.add("answer rate", "write a number from 0 to 1");
    }
    let longest = f64::from(TALK_MAX_S);
    if wish.talk_seconds.is_some_and(|talk| !(1.0..=longest).contains(&talk)) {
        faults.add("talk seconds", format!("write a number from 1 to {TALK_MAX_S}"));
    }
    faults.finish()?;
    let base = Assumptions::default();
    let rated = wish.answer_rate.map_or(base, |rate| base.with_answer_rate(rate));
    Ok(wish.talk_seconds.map_or(rated, |talk| rated.with_talk(Duration::from_secs_f64(talk))))
}

/// The records of `call_data`, judged, and counted by where the people may be; and how many were
/// replaced by later ones.
fn records(file: &[u8], rules: Rules) -> Result<(Vec<Bucket>, u64), Refused> {
    let refused = |message: String| Refused { message, records: Vec::new() };
    let mut parser = BodyParser::default();
    parser.feed(file).map_err(|e| refused(e.to_string()))?;
    let body = parser.finish().map_err(|e| refused(e.to_string()))?;
    let records = body.records().map_err(|e| refused(e.to_string()))?;
    let mut checker = Checker::new(rules);
    let mut validation = validate_all(records, &mut checker);
    if validation.rejected > 0 {
        let shown = validation.faults.kept().iter().take(FAULTS_SHOWN).map(|fault| {
            let phone = fault.phone_number.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
            let field = fault.field.as_ref().map(|f| format!("{f}: ")).unwrap_or_default();
            let (place, code) = (fault.index + 1, fault.code);
            format!("record {place}{phone}: {field}{} [{code}]", fault.message)
        });
        let (bad, all) = (validation.rejected, validation.contacts.len());
        return Err(Refused {
            message: format!("{bad} of {all} records are not valid"),
            records: shown.collect(),
        });
    }
    let duplicates = validation.drop_superseded() as u64;
    let mut counts: BTreeMap<ClassId, u64> = BTreeMap::new();
    for contact in validation.contacts.iter().flatten() {
        *counts.entry(contact.class).or_default() += 1;
    }
    let bucket = |(index, (class, count)): (u32, (ClassId, u64))| -> ApiResult<Bucket> {
        let text = checker.class_text(class);
        let zones: Class =
            text.parse().map_err(|_| ApiError::internal("a class of the checker"))?;
        Ok(Bucket {
            group: GroupKey { batch: BATCH, lane: 0, class: index, is_retry: false },
            zones: Arc::new(zones),
            charged: 0,
            uncharged: 0,
            reason: WaitReason::Due,
            not_before: Timestamp::EPOCH,
            earliest: Timestamp::EPOCH,
            count,
        })
    };
    let buckets = (0..).zip(counts).map(bucket).collect::<ApiResult<Vec<_>>>()?;
    Ok((buckets, duplicates))
}

fn head(
    start: Timestamp,
    workspace: &WorkspaceSettings,
    zone: &Zone,
    settings: BatchSettings,
    (trunk, mut numbers): (LineLimits, Vec<NumberHead>),
) -> Head {
    if numbers.is_empty() {
        // Countries are given instead: over which number does not matter.
        numbers.push(NumberHead {
            id: PhoneId::from_parts(0, 1),
            number: PhoneNumber::from_digits(0),
            trunks: vec![THE_TRUNK],
            limits: LineLimits::default(),
            live: 0,
            slots: Vec::new(),
            price: None,
            placed_by_day: Vec::new(),
        });
    }
    Head {
        workspace: WorkspaceId::from_parts(0, 1),
        version: 1,
        clock: start,
        concurrency: workspace.concurrency,
        live: 0,
        rules: workspace.calling_rules,
        zone: zone.clone(),
        attempts_24h: workspace.attempts_24h,
        brakes: workspace.brakes,
        batches: vec![BatchHead {
            id: BATCH,
            settings: Arc::new(settings),
            numbers: numbers.iter().map(|n| n.id).collect(),
            lane: None,
            live: 0,
            spent: Spend::NONE,
            spent_by_day: Vec::new(),
            pulse: Pulse::default(),
            pulse_ever: Pulse::default(),
            brake: Default::default(),
        }],
        numbers,
        trunks: vec![TrunkHead {
            id: THE_TRUNK,
            limits: trunk,
            live: 0,
            slots: Vec::new(),
            paused_until: None,
            is_down: false,
            max_call_s: None,
        }],
    }
}
