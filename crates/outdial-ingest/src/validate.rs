//! Every record of a request, judged.

use std::ops::Range;

use outdial_core::contact::{CheckedContact, Checker, FAULTS_SHOWN, Faults, superseded};

use crate::body::{RecordText, Records};

/// What came of the records of a request.
#[derive(Clone, Debug)]
pub struct Validation {
    /// By position; none: it has faults, or (after [`Validation::drop_superseded`]) a later record
    /// has the same number.
    pub contacts: Vec<Option<CheckedContact>>,
    /// All faults are counted, the first kept.
    pub faults: Faults,
    /// How many records have faults.
    pub rejected: u32,
}

impl Validation {
    /// Settles numbers that come several times in the request: the later record wins at its own
    /// place, the earlier is stored nowhere. Returns how many were dropped.
    pub fn drop_superseded(&mut self) -> usize {
        let phones = (0..).zip(&self.contacts).filter_map(|(i, c)| Some((i, c.as_ref()?.phone)));
        let earlier = superseded(phones);
        for index in &earlier {
            self.contacts[*index as usize] = None;
        }
        earlier.len()
    }
}

/// A thread of its own is worth it from so many records on.
const PART_MIN: usize = 2_000;
/// More threads than this would only take turns at the phone numbers' tables.
const PARTS_MAX: usize = 8;

/// Judges every record; all faults are counted, and the first [`FAULTS_SHOWN`] kept, by position.
/// Takes some microseconds a record and all processors, up to eight: run it where it blocks
/// nobody.
pub fn validate_all(records: &Records, checker: &mut Checker) -> Validation {
    validate_keeping(records, checker, FAULTS_SHOWN, FAULTS_SHOWN)
}

/// [`validate_all`], keeping the first `kept` faults, and of one record the first `each`.
pub(crate) fn validate_keeping(
    records: &Records,
    checker: &mut Checker,
    kept: usize,
    each: usize,
) -> Validation {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = processors.min(PARTS_MAX).min(records.len() / PART_MIN);
    validate_in_parts(records, checker, parts, kept, each)
}

fn validate_in_parts(
    records: &Records,
    checker: &mut Checker,
    parts: usize,
    kept: usize,
    each: usize,
) -> Validation {
    if parts < 2 {
        return validate_range(records, 0..records.len(), checker, kept, each);
    }
    let part = records.len().div_ceil(parts);
    let ranges = (0..parts).map(|n| n * part..((n + 1) * part).min(records.len()));
    let mut whole = Validation {
        contacts: Vec::with_capacity(records.len()),
        faults: Faults::new(kept),
        rejected: 0,
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = ranges
            .map(|range| {
                let mut checker = checker.clone();
                scope.spawn(move || {
                    (validate_range(records, range, &mut checker, kept, each), checker)
                })
            })
            .collect();
        for thread in threads {
            let (part, its_checker) = match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            let adopted = checker.adopt(&its_checker);
            whole.contacts.extend(part.contacts.into_iter().map(|c| c.map(|c| adopted.contact(c))));
            whole.faults.append(part.faults);
            whole.rejected += part.rejected;
        }
    });
    whole
}

fn validate_range(
    records: &Records,
    range: Range<usize>,
    checker: &mut Checker,
    kept: usize,
    each: usize,
) -> Validation {
    let mut contacts = Vec::with_capacity(range.len());
    let mut faults = Faults::new(kept);
    let mut rejected = 0;
    let first = u32::try_from(range.start).unwrap_or(u32::MAX);
    for (index, record) in (first..).zip(records.iter().skip(range.start).take(range.len())) {
        let mut own = Faults::new(each);
        let checked = match record {
            RecordText::Kept(text) => checker.check_text(index, text, &mut own),
            RecordText::Refused(code) => {
                own.add_refusal(index, code);
                None
            }
        };
        faults.append(own);
        rejected += u32::from(checked.is_none());
        contacts.push(checked);
    }
    Validation { contacts, faults, rejected }
}

#[cfg(test)]
mod tests {
    use outdial_core::contact::{FaultCode, Rules};
    use outdial_core::phone_zones::zones_of;
    use outdial_core::variables::VariableSchema;
    use outdial_core::zone::Zone;

    use super::*;
    use crate::BodyParser;

    fn checker() -> Checker {
        let variables = r#"[{"key":"name","type":"string","required":true},
                            {"key":"age","type":"number"}]"#;
        Checker::new(Rules {
            schema: VariableSchema::new(serde_json::from_str(variables).unwrap()).unwrap(),
            allowed_countries: ["US".parse().unwrap()].into(),
            allow_special_numbers: false,
            batch_zone: None,
            workspace_zone: Zone::utc(),
            candidate_zones: zones_of,
        })
    }

    fn validate(records: &[String]) -> Validation {
        let mut parser = BodyParser::default();
        parser.feed(format!("{{\"call_data\":[{}]}}", records.join(",")).as_bytes()).unwrap();
        validate_all(parser.finish().unwrap().records().unwrap(), &mut checker())
    }

    fn good(phone: u64) -> String {
        format!(r#"{{"phoneNumber":"{phone}","name":"x"}}"#)
    }

    #[test]
    fn verdicts_by_position() {
        let faulty = r#"{"phoneNumber":"12","age":"x"}"#.to_owned();
        let got = validate(&[good(12_125_551_001), "5".to_owned(), faulty, good(13_105_552_002)]);
        let valid: Vec<_> = got.contacts.iter().map(|c| c.map(|c| c.phone.digits())).collect();
        assert_eq!(valid, [Some(12_125_551_001), None, None, Some(13_105_552_002)]);
        assert_eq!((got.faults.count(), got.rejected), (4, 2));
        let faults: Vec<_> = got.faults.kept().iter().map(|f| (f.index, f.code)).collect();
        assert_eq!(
            faults,
            [
                (1, FaultCode::NotAnObject),
                (2, FaultCode::InvalidPhoneNumber),
                (2, FaultCode::MissingVariable),
                (2, FaultCode::InvalidType),
            ]
        );
    }

    /// However many threads share the work, the result is the same.
    #[test]
    fn in_parts_as_in_one() {
        let records: Vec<String> = (0..97)
            .map(|n| match n % 9 {
                0 => "5".to_owned(),
                1 => format!(r#"{{"phoneNumber":"1310555{:04}","name":"x"}}"#, 2000 + n),
                2 => r#"{"name":"x","age":"y"}"#.to_owned(),
                3 => format!(
                    r#"{{"phoneNumber":"1212555{:04}","name":"x","timezone":"Europe/Rome"}}"#,
                    2000 + n
                ),
                _ => good(12_125_551_000 + n),
            })
            .collect();
        let mut parser = BodyParser::default();
        parser.feed(format!("{{\"call_data\":[{}]}}", records.join(",")).as_bytes()).unwrap();
        let body = parser.finish().unwrap();
        let shown = |parts| {
            let mut checker = checker();
            let records = body.records().unwrap();
            let got = validate_in_parts(records, &mut checker, parts, FAULTS_SHOWN, FAULTS_SHOWN);
            let contacts = got
                .contacts
                .iter()
                .map(|c| c.map(|c| (c.phone.digits(), checker.class_text(c.class).to_string())));
            let contacts: Vec<_> = contacts.collect();
            (contacts, got.faults.count(), got.faults.kept().to_vec(), got.rejected)
        };
        let one = shown(1);
        for parts in [2, 3, 7, 97] {
            assert_eq!(shown(parts), one, "in {parts} parts");
        }
    }

    #[test]
    fn all_faults_count_and_the_first_hundred_are_shown() {
        let got = validate(&vec!["{}".to_owned(); 250]);
        assert_eq!((got.faults.count(), got.rejected), (500, 250));
        assert_eq!(got.faults.kept().len(), 100);
        assert_eq!(got.faults.kept().last().map(|f| f.index), Some(49));
    }

    #[test]
    fn the_same_number_twice() {
        let bad = r#"{"phoneNumber":"12125551001"}"#.to_owned();
        let mut got = validate(&[
            good(12_125_551_001),
            good(13_105_552_002),
            r#"{"phoneNumber":"+1 (212) 555-1001","name":"y"}"#.to_owned(),
            bad,
        ]);
        assert_eq!(got.drop_superseded(), 1);
        let left: Vec<_> = got.contacts.iter().map(Option::is_some).collect();
        assert_eq!(left, [false, true, true, false]);
        assert_eq!(got.rejected, 1);
    }
}
