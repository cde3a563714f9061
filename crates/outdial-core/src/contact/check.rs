//! The rules of a batch, applied to its records.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::classes::{ClassId, Classes, OwnZone};
use super::{FaultCode, Faults, Record, RecordFault, json, quoted};
use crate::phone::{self, Country, ParsedPhone, PhoneNumber};
use crate::phone_zones::PhoneZones;
use crate::settings::WorkspaceSettings;
use crate::variables::{Variable, VariableFault, VariableSchema};
use crate::zone::Zone;

/// In which zones a number can lie; none: nothing is known of it. `crate::phone_zones::zones_of`,
/// or [`no_candidate_zones`] where numbers are to say nothing.
pub type CandidateZones = fn(PhoneNumber) -> Option<&'static PhoneZones>;

/// Knows of no number where it lies.
pub fn no_candidate_zones(_: PhoneNumber) -> Option<&'static PhoneZones> {
    None
}

/// What the records of one request are judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What the agent declares.
    pub schema: VariableSchema,
    /// Countries that may be called.
    pub allowed_countries: BTreeSet<Country>,
    /// Premium-rate, shared-cost and satellite numbers may be called.
    pub allow_special_numbers: bool,
    /// The batch's own zone, if it has one.
    pub batch_zone: Option<Zone>,
    /// The zone of the last resort.
    pub workspace_zone: Zone,
    /// Where a number can lie.
    pub candidate_zones: CandidateZones,
}

impl Rules {
    /// The countries that a workspace's settings allow; where they say nothing: those of the
    /// batch's calling numbers. Calling numbers that the numbering plan does not know add none.
    pub fn allowed_countries(
        settings: &WorkspaceSettings,
        calling_numbers: impl IntoIterator<Item = PhoneNumber>,
    ) -> BTreeSet<Country> {
        match &settings.allowed_countries {
            Some(countries) => countries.iter().filter_map(|c| c.parse().ok()).collect(),
            None => calling_numbers
                .into_iter()
                .filter_map(|number| phone::describe(number)?.country)
                .collect(),
        }
    }
}

/// A record that was found good. Its fields stay where they are: the text that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedContact {
    /// Whom to call.
    pub phone: PhoneNumber,
    /// Where the person may be.
    pub class: ClassId,
}

/// Checks the records of one request. Remembers what many records share: zones and classes.
#[derive(Clone, Debug)]
pub struct Checker {
    rules: Rules,
    classes: Classes,
}

/// How the classes of one checker are called by another.
#[derive(Clone, Debug)]
pub struct Adopted(Vec<ClassId>);

impl Adopted {
    /// A contact that the other checker found good, in the words of the one that adopted it.
    pub fn contact(&self, contact: CheckedContact) -> CheckedContact {
        CheckedContact { class: self.0[contact.class.index()], ..contact }
    }
}

impl Checker {
    /// For records under these rules.
    pub fn new(rules: Rules) -> Self {
        let classes = Classes::new(rules.batch_zone.as_ref(), &rules.workspace_zone);
        Self { rules, classes }
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Text of a class that this checker gave out (`crate::zone::Class`).
    pub fn class_text(&self, class: ClassId) -> &Arc<str> {
        self.classes.text(class)
    }

    /// Every class met so far.
    pub fn classes(&self) -> impl Iterator<Item = (ClassId, &Arc<str>)> {
        self.classes.iter()
    }

    /// Takes over the classes of another checker under the same rules. What it checked is
    /// `adopted` one by one with the result.
    pub fn adopt(&mut self, other: &Checker) -> Adopted {
        Adopted(other.classes.iter().map(|(_, text)| self.classes.intern(text)).collect())
    }

    /// Reads and checks the record at `index`. All its faults go to `faults`; none: it has some.
    pub fn check_text(
        &mut self,
        index: u32,
        raw: &str,
        faults: &mut Faults,
    ) -> Option<CheckedContact> {
        match Record::read(raw) {
            Ok(record) => self.check(index, &record, faults),
            Err(code) => {
                faults.add_refusal(index, code);
                None
            }
        }
    }

    /// Checks the record at `index`. All its faults go to `faults`; none: it has some.
    pub fn check(
        &mut self,
        index: u32,
        record: &Record<'_>,
        faults: &mut Faults,
    ) -> Option<CheckedContact> {
        let raw_phone = record.get("phoneNumber");
        let mut report = Report { index, raw_phone, faults, any: false };
        for (key, code) in record.faults() {
            report.add(Some(key), code, || code.advice().to_owned());
        }
        let phone = self.check_phone(raw_phone, &mut report);
        let own = self.check_zone(record.get("timezone"), &mut report);
        for variable in self.rules.schema.variables() {
            check_variable(variable, record, &mut report);
        }
        let phone = phone.filter(|_| !report.any)?;
        let candidates = (self.rules.candidate_zones)(phone.number);
        let class = self.classes.of(own, &phone, candidates);
        Some(CheckedContact { phone: phone.number, class })
    }

    fn check_phone(&self, raw: Option<&str>, report: &mut Report<'_>) -> Option<ParsedPhone> {
        let field = Some("phoneNumber");
        let Some(raw) = raw.filter(|raw| !json::is_blank(raw)) else {
            let code = FaultCode::MissingPhoneNumber;
            report.add(field, code, || code.advice().to_owned());
            return None;
        };
        let code = FaultCode::InvalidPhoneNumber;
        let Some(text) = json::phone_text(raw) else {
            report.add(field, code, || code.advice().to_owned());
            return None;
        };
        let parsed = match phone::parse(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                report.add(field, code, || error.to_string());
                return None;
            }
        };
        if parsed.kind.is_special() && !self.rules.allow_special_numbers {
            let code = FaultCode::ForbiddenNumberType;
            report.add(field, code, || {
                format!("this is a {} number; {}", parsed.kind.as_str(), code.advice())
            });
        }
        match parsed.country {
            Some(country) if self.rules.allowed_countries.contains(&country) => {}
            // A satellite has no country, and is called where special numbers are.
            None if parsed.kind.is_special() => {}
            country => report.add(field, FaultCode::CountryNotAllowed, || {
                country_advice(country, &self.rules.allowed_countries)
            }),
        }
        Some(parsed)
    }

    /// The record's own zone, if it brings one.
    fn check_zone(&mut self, raw: Option<&str>, report: &mut Report<'_>) -> Option<OwnZone> {
        let raw = raw.filter(|raw| *raw != "null")?;
        let own = json::string(raw).and_then(|name| self.classes.own_zone(&name));
        if own.is_none() {
            let code = FaultCode::InvalidTimezone;
            report.add(Some("timezone"), code, || code.advice().to_owned());
        }
        own
    }
}

/// Positions that a later record for the same number replaces, in order. The later record wins, at
/// its own place; the earlier is stored nowhere. `phones`: position and number of the good records
/// of a whole request.
pub fn superseded(phones: impl Iterator<Item = (u32, PhoneNumber)>) -> Vec<u32> {
    let mut sorted: Vec<(PhoneNumber, u32)> = phones.map(|(index, phone)| (phone, index)).collect();
    sorted.sort_unstable();
    let mut earlier: Vec<u32> =
        sorted.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].1).collect();
    earlier.sort_unstable();
    earlier
}

/// The faults of one record on their way out.
struct Report<'a> {
    index: u32,
    raw_phone: Option<&'a str>,
    faults: &'a mut Faults,
    any: bool,
}

impl Report<'_> {
    fn add(&mut self, field: Option<&str>, code: FaultCode, message: impl FnOnce() -> String) {
        self.any = true;
        let (index, raw_phone) = (self.index, self.raw_phone);
        self.faults.add(|| RecordFault {
            index,
            phone_number: raw_phone.and_then(shown_phone),
            field: field.map(quoted),
            code,
            message: message(),
        });
    }
}

/// `phoneNumber` as sent, if it is a string or a number.
fn shown_phone(raw: &str) -> Option<String> {
    match raw.as_bytes().first()? {
        b'"' => json::string(raw).map(|text| quoted(&text)),
        b'-' | b'0'..=b'9' => Some(quoted(raw)),
        _ => None,
    }
}

fn check_variable(variable: &Variable, record: &Record<'_>, report: &mut Report<'_>) {
    match variable.check(record.get(&variable.key)) {
        Ok(()) => {}
        Err(VariableFault::Missing) => {
            report.add(Some(&variable.key), FaultCode::MissingVariable, || {
                format!(
                    "the agent requires `{}`; send {}",
                    quoted(&variable.key),
                    variable.kind.wanted()
                )
            });
        }
        Err(VariableFault::WrongType) => {
            report.add(Some(&variable.key), FaultCode::InvalidType, || {
                format!("`{}` must be {}", quoted(&variable.key), variable.kind.wanted())
            });
        }
    }
}

fn country_advice(country: Option<Country>, allowed: &BTreeSet<Country>) -> String {
    let where_it_lies = match country {
        Some(country) => format!("this is a number of {country}"),
        None => "this number belongs to no country".to_owned(),
    };
    let allowed: Vec<&str> = allowed.iter().map(Country::as_str).collect();
    let allowed = match allowed.as_slice() {
        [] => "no country may be called".to_owned(),
        few => format!("only these may be called: {}", few.join(", ")),
    };
    format!(
        "{where_it_lies}, and {allowed}; write the country code first, like `12125551234`, or \
         change `allowedCountries` in the settings"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::phone_zones::zones_of;

    fn rules() -> Rules {
        let variables = json!([
            {"key": "name", "type": "string", "required": true},
            {"key": "age", "type": "number"},
            {"key": "tier", "type": "string", "required": true, "default": "basic"},
        ]);
        Rules {
            schema: VariableSchema::new(serde_json::from_value(variables).unwrap()).unwrap(),
            allowed_countries: ["US", "CA"].iter().map(|c| c.parse().unwrap()).collect(),
            allow_special_numbers: false,
            batch_zone: None,
            workspace_zone: "Europe/Berlin".parse().unwrap(),
            candidate_zones: no_candidate_zones,
        }
    }

    fn class_of(rules: Rules, raw: &str) -> String {
        let mut checker = Checker::new(rules);
        let mut faults = Faults::default();
        let checked = checker.check_text(0, raw, &mut faults);
        let checked = checked.unwrap_or_else(|| panic!("{raw}: {:?}", faults.kept()));
        checker.class_text(checked.class).to_string()
    }

    fn faults_of(rules: Rules, raw: &str) -> Vec<(Option<String>, FaultCode)> {
        let mut faults = Faults::default();
        let checked = Checker::new(rules).check_text(0, raw, &mut faults);
        assert_eq!(checked.is_none(), faults.count() > 0, "{raw}");
        faults.kept().iter().map(|f| (f.field.clone(), f.code)).collect()
    }

    #[test]
    fn the_documented_records_pass() {
        for raw in [
            r#"{ "phoneNumber": "12125551001", "name": "Sarah Johnson", "account_id": "ACC-1001",
                 "custom_field_1": "value1", "priority": "high" }"#,
            r#"{"phoneNumber": "13105552002", "name": "Michael Chen", "category": "support"}"#,
            r#"{"phoneNumber": 12125551234, "name": "x", "age": null, "timezone": null}"#,
        ] {
            assert_eq!(faults_of(rules(), raw), [], "{raw}");
        }
    }

    #[test]
    fn every_fault_of_a_record_is_reported() {
        use FaultCode::*;
        let raw = r#"{"phoneNumber":"1-212-555-CALL","timezone":"Mars/Olympus","age":"12",
                      "note":"\u0000","n":1e400,"note":1}"#;
        let some = |k: &str| Some(k.to_owned());
        assert_eq!(
            faults_of(rules(), raw),
            [
                (some("note"), InvalidText),
                (some("n"), NumberOutOfRange),
                (some("note"), DuplicateKey),
                (some("phoneNumber"), InvalidPhoneNumber),
                (some("timezone"), InvalidTimezone),
                (some("name"), MissingVariable),
                (some("age"), InvalidType),
            ]
        );
    }

    #[test]
    fn phone_faults() {
        use FaultCode::*;
        let table = [
            ("null", MissingPhoneNumber),
            (r#""  ""#, MissingPhoneNumber),
            ("true", InvalidPhoneNumber),
            ("[]", InvalidPhoneNumber),
            ("1212555.1001", InvalidPhoneNumber),
            (r#""2125551001""#, InvalidPhoneNumber),
            (r#""442079460000""#, CountryNotAllowed),
            (r#""80012345678""#, CountryNotAllowed),
            (r#""19002345678""#, ForbiddenNumberType),
            (r#""870773111632""#, ForbiddenNumberType),
        ];
        for (phone, code) in table {
            let raw = format!(r#"{{"name":"x","phoneNumber":{phone}}}"#);
            let field = Some("phoneNumber".to_owned());
            assert_eq!(faults_of(rules(), &raw), [(field, code)], "{phone}");
        }
        let field = Some("phoneNumber".to_owned());
        assert_eq!(faults_of(rules(), r#"{"name":"x"}"#), [(field, MissingPhoneNumber)]);
        let special = Rules { allow_special_numbers: true, ..rules() };
        for phone in ["19002345678", "870773111632"] {
            let raw = format!(r#"{{"name":"x","phoneNumber":{phone}}}"#);
            assert_eq!(faults_of(special.clone(), &raw), [], "{phone}");
        }
    }

    #[test]
    fn a_fault_says_which_number_and_what_would_be_right() {
        let mut faults = Faults::default();
        let raw = r#"{"name":"x","phoneNumber":"+44 20 7946 0000"}"#;
        assert_eq!(Checker::new(rules()).check_text(7, raw, &mut faults), None);
        let fault = &faults.kept()[0];
        assert_eq!((fault.index, fault.phone_number.as_deref()), (7, Some("+44 20 7946 0000")));
        assert!(fault.message.contains("GB") && fault.message.contains("CA, US"), "{fault:?}");
    }

    #[test]
    fn whose_zone_counts() {
        let known = Rules { candidate_zones: zones_of, ..rules() };
        let batch = Rules { batch_zone: "America/Denver".parse().ok(), ..known.clone() };
        let unknown = Rules { batch_zone: batch.batch_zone.clone(), ..rules() };
        let (ny, toll_free, jamaica) = ("12125551001", "18002345678", "18765550123");
        let table: [(&Rules, &str, &str, &str); 13] = [
            // The number's zones; those of the batch say when to call, and not where somebody is.
            (&known, ny, "null", "America/New_York;US-NY"),
            (&batch, ny, "null", "America/Denver;US-NY;America/New_York"),
            // Its own zone, where the number can lie: also under another name.
            (&known, ny, r#""America/New_York""#, "America/New_York;US-NY"),
            (&batch, ny, r#""america/new_york""#, "America/New_York;US-NY"),
            (&known, ny, r#""US/Eastern""#, "US/Eastern;US-NY"),
            (&known, "13135551001", r#""America/Detroit""#, "America/Detroit;US-MI"),
            // Its own zone, where the number cannot lie: both, in both zones.
            (&known, ny, r#""Asia/Tokyo""#, "Asia/Tokyo;JP,US-NY;America/New_York,Asia/Tokyo"),
            (&known, ny, r#""UTC""#, "UTC;US-NY;America/New_York,UTC"),
            // One of the many zones of a number.
            (&known, toll_free, r#""America/Phoenix""#, "America/Phoenix;CA,US-AZ"),
            (&known, toll_free, r#""America/Toronto""#, TORONTO),
            (&known, jamaica, "null", "America/Jamaica;JM"),
            // Nothing is known of the number: only its own zone says where somebody is.
            (&unknown, ny, "null", "America/Denver"),
            (&rules(), ny, "null", "Europe/Berlin"),
        ];
        for (rules, phone, zone, class) in table {
            let raw = format!(r#"{{"name":"x","phoneNumber":{phone},"timezone":{zone}}}"#);
            let countries = ["US", "CA", "JM"].map(|c| c.parse().unwrap());
            let rules = Rules { allowed_countries: countries.into(), ..rules.clone() };
            assert_eq!(class_of(rules, &raw), class, "{phone} {zone}");
        }
        let raw = format!(r#"{{"name":"x","phoneNumber":{toll_free}}}"#);
        let class = class_of(known, &raw);
        assert!(class.contains("America/Los_Angeles,") && class.ends_with(";CA,US"), "{class}");
    }

    const TORONTO: &str = "America/Toronto;CA-NT,CA-NU,CA-ON,CA-QC,CA-YT,US";

    #[test]
    fn a_number_of_no_country_is_where_its_zone_is() {
        let special = Rules { allow_special_numbers: true, candidate_zones: zones_of, ..rules() };
        let class = |zone: &str| {
            let raw = format!(r#"{{"name":"x","phoneNumber":870773111632,"timezone":{zone}}}"#);
            class_of(special.clone(), &raw)
        };
        assert_eq!(class("null"), "Europe/Berlin");
        assert_eq!(class(r#""Asia/Kolkata""#), "Asia/Kolkata;IN");
        assert_eq!(class(r#""UTC""#), "UTC");
    }

    #[test]
    fn a_zone_must_exist() {
        for bad in [r#""""#, r#""New York""#, "5", "[]", r#""Etc/Unknown""#] {
            let raw = format!(r#"{{"name":"x","phoneNumber":"12125551001","timezone":{bad}}}"#);
            let field = Some("timezone".to_owned());
            assert_eq!(faults_of(rules(), &raw), [(field, FaultCode::InvalidTimezone)], "{bad}");
        }
    }

    #[test]
    fn classes_are_shared() {
        let mut checker = Checker::new(rules());
        let mut faults = Faults::default();
        let mut check = |zone: &str| {
            let raw = format!(r#"{{"name":"x","phoneNumber":"12125551001","timezone":"{zone}"}}"#);
            checker.check_text(0, &raw, &mut faults).unwrap().class
        };
        let (a, b, c) = (check("Asia/Tokyo"), check("America/Denver"), check("Asia/Tokyo"));
        assert_eq!(a, c);
        assert_ne!(a, b);
        assert_eq!(checker.classes().count(), 2);
        assert_eq!(size_of::<Option<CheckedContact>>(), 16);
    }

    #[test]
    fn countries_of_the_calling_numbers_unless_the_settings_say() {
        let numbers = [12_125_551_234, 442_079_460_000, 5].map(PhoneNumber::from_digits);
        let shown =
            |set: &BTreeSet<Country>| set.iter().map(Country::to_string).collect::<Vec<_>>();
        let by_numbers = Rules::allowed_countries(&WorkspaceSettings::default(), numbers);
        assert_eq!(shown(&by_numbers), ["GB", "US"]);
        let settings = WorkspaceSettings {
            allowed_countries: Some(["de".to_owned()].into()),
            ..WorkspaceSettings::default()
        };
        assert_eq!(shown(&Rules::allowed_countries(&settings, numbers)), ["DE"]);
    }

    #[test]
    fn the_later_of_two_wins_at_its_own_place() {
        let phones = [1u64, 2, 1, 3, 1, 2].map(PhoneNumber::from_digits);
        assert_eq!(superseded((0..).zip(phones)), [0, 1, 2]);
        assert_eq!(superseded(std::iter::empty()), Vec::<u32>::new());
    }
}
