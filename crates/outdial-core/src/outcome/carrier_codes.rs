//! What the codes mean with which carriers' APIs say how a call ended, or why they refused it. A
//! table per carrier; whoever speaks to a carrier hands its words over and decides nothing.
//!
//! An answered call is told as `CallEnd::TalkOver` wherever the API says that it was answered;
//! codes are for what ends without that.

use super::{Disposition, Fault, Outcome, RetryClass, charged, uncharged};

/// Whose codes they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CarrierApi {
    /// Twilio Programmable Voice: error codes, and the final status of a call.
    Twilio,
    /// Telnyx Call Control: hangup causes, API errors, and D-codes of refused calls.
    Telnyx,
    /// Plivo Voice: hangup cause codes.
    Plivo,
}

/// A code as an API gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CarrierCode {
    /// A number.
    Number(u32),
    /// A word that its table knows.
    Word(&'static str),
    /// Anything else.
    Other,
}

impl CarrierCode {
    /// From the text that an API gives: a number, or a word of the carrier's table.
    pub fn parse(api: CarrierApi, text: &str) -> Self {
        if let Ok(number) = text.parse() {
            return Self::Number(number);
        }
        let word = words(api).iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        word.map_or(Self::Other, |(word, _)| Self::Word(word))
    }
}

/// The verdict on a call of which the carrier's API says no more than `code`. A code that no table
/// has is a failure that may be retried: the call is over, and the callee may have heard it.
pub(super) fn outcome_of_code(api: CarrierApi, code: CarrierCode) -> Outcome {
    let means = match code {
        CarrierCode::Number(code) => {
            numbers(api).iter().find(|(known, _)| *known == code).map(|(_, means)| *means)
        }
        CarrierCode::Word(word) => {
            words(api).iter().find(|(known, _)| *known == word).map(|(_, means)| *means)
        }
        CarrierCode::Other => None,
    };
    means.unwrap_or(Means::Failed("carrier_code")).outcome()
}

/// What a code means, in the words of the outcome table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Means {
    /// It was answered, and ended as calls do.
    Talked,
    /// A machine answered.
    Machine,
    NoAnswer,
    Busy,
    /// The callee declined.
    Declined,
    /// The callee's side or a network on the way does not let it through.
    Blocked(&'static str),
    /// Switched off, out of coverage or of service; or the API does not say whether the number
    /// exists, and a valid one must not be given up for that.
    Unreachable(&'static str),
    /// Never again.
    Invalid(&'static str),
    Canceled,
    /// Something broke after the call had begun.
    Failed(&'static str),
    /// The carrier has no room for it: nobody was reached, and later it may.
    Full(&'static str),
    /// Account, credentials, permissions or the calling number are not in order: nobody was
    /// reached, and the next call would fare the same.
    Account(&'static str),
}

impl Means {
    fn outcome(self) -> Outcome {
        use Disposition as D;
        use RetryClass as R;
        let wait = R::Uncharged { retry_after: None };
        match self {
            Self::Talked => {
                Outcome { picked: true, ..charged(D::Completed, Fault::None, R::Never, "answered") }
            }
            Self::Machine => charged(D::Voicemail, Fault::None, R::IfVoicemail, "machine"),
            Self::NoAnswer => charged(D::NoAnswer, Fault::Callee, R::Policy, "no_answer"),
            Self::Busy => charged(D::Busy, Fault::Callee, R::Policy, "busy"),
            Self::Declined => charged(D::Rejected, Fault::Callee, R::Never, "declined"),
            Self::Blocked(reason) => charged(D::Rejected, Fault::Carrier, R::Never, reason),
            Self::Unreachable(reason) => charged(D::Unreachable, Fault::Callee, R::Policy, reason),
            Self::Invalid(reason) => charged(D::InvalidNumber, Fault::Callee, R::Never, reason),
            Self::Canceled => charged(D::Canceled, Fault::Local, R::Never, "canceled"),
            Self::Failed(reason) => charged(D::Failed, Fault::Carrier, R::Policy, reason),
            Self::Full(reason) => uncharged(D::Failed, Fault::Carrier, wait, reason),
            Self::Account(reason) => uncharged(D::Failed, Fault::Local, wait, reason),
        }
    }
}

fn numbers(api: CarrierApi) -> &'static [(u32, Means)] {
    match api {
        CarrierApi::Twilio => TWILIO,
        CarrierApi::Telnyx => TELNYX,
        CarrierApi::Plivo => PLIVO,
    }
}

fn words(api: CarrierApi) -> &'static [(&'static str, Means)] {
    match api {
        CarrierApi::Twilio => TWILIO_STATUS,
        CarrierApi::Telnyx => TELNYX_CAUSES,
        CarrierApi::Plivo => &[],
    }
}

/// Facts from Twilio's error and warning dictionary, <https://www.twilio.com/docs/api/errors>; that
/// 13227, 21215 and 32205 are about countries, from its support's article 223180228.
const TWILIO: &[(u32, Means)] = &[
    (10001, Means::Account("account_inactive")),
    (10004, Means::Full("carrier_limit")),
    (13214, Means::Account("caller_id_invalid")),
    (13223, Means::Invalid("number_format")),
    // Also given when no route delivers the call to a valid number, as in an outage.
    (13224, Means::Unreachable("no_route")),
    (13225, Means::Blocked("number_forbidden")),
    (13226, Means::Invalid("country_code")),
    (13227, Means::Account("country_not_enabled")),
    (20003, Means::Account("trunk_credentials")),
    (20429, Means::Full("carrier_limit")),
    (21201, Means::Invalid("number_missing")),
    (21202, Means::Blocked("premium_number")),
    (21203, Means::Account("country_not_enabled")),
    (21210, Means::Account("caller_id_not_verified")),
    (21211, Means::Invalid("no_such_number")),
    (21212, Means::Account("caller_id_invalid")),
    (21213, Means::Account("caller_id_missing")),
    (21214, Means::Unreachable("no_route")),
    (21215, Means::Account("country_not_enabled")),
    (21216, Means::Blocked("number_forbidden")),
    (21217, Means::Invalid("no_such_number")),
    (21219, Means::Account("trial_account")),
    (32205, Means::Account("country_not_enabled")),
];

/// The final values of a call's status, <https://www.twilio.com/docs/voice/api/call-resource>.
const TWILIO_STATUS: &[(&str, Means)] = &[
    ("completed", Means::Talked),
    ("busy", Means::Busy),
    ("no-answer", Means::NoAnswer),
    ("canceled", Means::Canceled),
    ("failed", Means::Failed("carrier_failed")),
];

/// Facts from <https://developers.telnyx.com/development/api-fundamentals/api-errors>.
const TELNYX: &[(u32, Means)] = &[
    (10001, Means::Account("caller_id_invalid")),
    (10002, Means::Invalid("no_such_number")),
    (10009, Means::Account("trunk_credentials")),
    (10010, Means::Account("not_permitted")),
    (10011, Means::Full("carrier_limit")),
    (10016, Means::Invalid("number_format")),
];

/// Hangup causes by <https://developers.telnyx.com/api-reference/callbacks/call-hangup>; D-codes by
/// <https://developers.telnyx.com/docs/voice/sip-trunking/troubleshooting/response-codes> and
/// <https://support.telnyx.com/en/articles/4409457-telnyx-sip-response-codes>. The two disagree
/// about D10, D11 and D14 (the account, or the number called?), which are left out: any other code
/// is a failure that may be retried. D18 and D19 come with the SIP status 404 and say nothing about
/// the number called.
const TELNYX_CAUSES: &[(&str, Means)] = &[
    ("normal_clearing", Means::Talked),
    ("time_limit", Means::Talked),
    ("user_busy", Means::Busy),
    ("timeout", Means::NoAnswer),
    ("no_answer", Means::NoAnswer),
    ("call_rejected", Means::Declined),
    ("originator_cancel", Means::Canceled),
    ("not_found", Means::Invalid("no_such_number")),
    ("unspecified", Means::Failed("carrier_failed")),
    ("D1", Means::Full("carrier_limit")),
    ("D2", Means::Full("carrier_limit")),
    ("D3", Means::Full("carrier_limit")),
    ("D22", Means::Full("carrier_limit")),
    ("D12", Means::Account("country_not_enabled")),
    ("D13", Means::Account("country_not_enabled")),
    ("D15", Means::Account("account_inactive")),
    ("D16", Means::Account("account_inactive")),
    ("D17", Means::Account("account_inactive")),
    ("D18", Means::Account("account_inactive")),
    ("D19", Means::Account("account_inactive")),
    ("D24", Means::Account("rate_above_maximum")),
    ("D25", Means::Account("trunk_credentials")),
    ("D26", Means::Account("trunk_credentials")),
    ("D27", Means::Account("trunk_credentials")),
    ("D28", Means::Account("trunk_credentials")),
    ("D29", Means::Account("trunk_credentials")),
    ("D35", Means::Account("caller_id_invalid")),
];

/// Facts from <https://docs.plivo.com/docs/voice/troubleshooting/hangup-causes>.
const PLIVO: &[(u32, Means)] = &[
    (0, Means::Failed("carrier_failed")),
    (1000, Means::Canceled),
    (1010, Means::Account("out_of_credit")),
    (1020, Means::Full("carrier_limit")),
    (2000, Means::Invalid("no_such_number")),
    (2010, Means::Unreachable("out_of_service")),
    (2020, Means::Unreachable("not_registered")),
    (2030, Means::Account("country_not_enabled")),
    (2040, Means::Account("premium_number")),
    (2050, Means::Account("country_not_enabled")),
    (2060, Means::Account("loop")),
    (2070, Means::Account("media_anchoring")),
    (3000, Means::NoAnswer),
    (3010, Means::Busy),
    (3020, Means::Declined),
    (3030, Means::Account("caller_id_invalid")),
    (3040, Means::Blocked("forbidden")),
    (3050, Means::Invalid("no_such_number")),
    (3070, Means::Failed("carrier_timeout")),
    (3080, Means::Failed("server_error")),
    (3090, Means::Full("congestion")),
    (3100, Means::Busy),
    (3110, Means::Declined),
    (3120, Means::Invalid("no_such_number")),
    (3130, Means::Blocked("blocked")),
    (3140, Means::Account("caller_id_invalid")),
    (4000, Means::Talked),
    (4010, Means::Talked),
    (4020, Means::Talked),
    (4030, Means::Talked),
    (5000, Means::Failed("network_error")),
    (5010, Means::Failed("server_error")),
    (5020, Means::Failed("no_route")),
    (5030, Means::Full("carrier_limit")),
    (6000, Means::Talked),
    (6010, Means::NoAnswer),
    (6020, Means::Failed("media_timeout")),
    (9000, Means::Canceled),
    (9100, Means::Machine),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchSettings;
    use crate::call::{CallFacts, CallNext};
    use crate::outcome::{CallEnd, outcome_of};
    use crate::retry::{RetryPolicy, next_step};
    use crate::time::Timestamp;

    const APIS: [CarrierApi; 3] = [CarrierApi::Twilio, CarrierApi::Telnyx, CarrierApi::Plivo];

    fn of(carrier: CarrierApi, text: &str) -> Outcome {
        outcome_of(&CallEnd::CarrierCode { carrier, code: CarrierCode::parse(carrier, text) })
    }

    #[test]
    fn the_table() {
        use CarrierApi::{Plivo, Telnyx, Twilio};
        use Disposition as D;
        let table = [
            // code, disposition, charged, may be retried by policy
            (Twilio, "21211", D::InvalidNumber, true, false),
            (Twilio, "13224", D::Unreachable, true, true),
            (Twilio, "13225", D::Rejected, true, false),
            (Twilio, "21215", D::Failed, false, false),
            (Twilio, "10004", D::Failed, false, false),
            (Twilio, "no-answer", D::NoAnswer, true, true),
            (Telnyx, "user_busy", D::Busy, true, true),
            (Telnyx, "USER_BUSY", D::Busy, true, true),
            (Telnyx, "not_found", D::InvalidNumber, true, false),
            (Telnyx, "D19", D::Failed, false, false),
            (Telnyx, "D13", D::Failed, false, false),
            (Telnyx, "D14", D::Failed, true, true),
            (Telnyx, "10016", D::InvalidNumber, true, false),
            (Plivo, "3000", D::NoAnswer, true, true),
            (Plivo, "3010", D::Busy, true, true),
            (Plivo, "3020", D::Rejected, true, false),
            (Plivo, "3050", D::InvalidNumber, true, false),
            (Plivo, "3090", D::Failed, false, false),
            (Plivo, "9100", D::Voicemail, true, false),
            (Plivo, "12345", D::Failed, true, true),
            (Telnyx, "some_new_word", D::Failed, true, true),
        ];
        for (api, code, disposition, charged, policy) in table {
            let o = of(api, code);
            let got = (o.disposition, o.charged, o.retry == RetryClass::Policy);
            assert_eq!(got, (disposition, charged, policy), "{api:?} {code}");
        }
    }

    #[test]
    fn no_code_stands_twice_and_every_word_is_found() {
        for api in APIS {
            let mut codes: Vec<u32> = numbers(api).iter().map(|(code, _)| *code).collect();
            let all = codes.len();
            codes.sort_unstable();
            codes.dedup();
            assert_eq!(codes.len(), all, "{api:?}");
            for (word, means) in words(api) {
                assert_eq!(of(api, word), means.outcome(), "{api:?} {word}");
            }
        }
    }

    #[test]
    fn invalid_numbers_never_again_whatever_the_policy() {
        let settings = BatchSettings {
            retry: BatchSettings::RETRY_MAX,
            redial_unknown: true,
            retry_voicemail: true,
            ..BatchSettings::default()
        };
        let policy = RetryPolicy::of(&settings, false, 1);
        for api in APIS {
            let codes = numbers(api).iter().map(|(code, _)| code.to_string());
            for code in codes.chain(words(api).iter().map(|(word, _)| (*word).to_owned())) {
                let outcome = of(api, &code);
                let next = next_step(&CallFacts::default(), &policy, &outcome, Timestamp::EPOCH, 0);
                if outcome.disposition == Disposition::InvalidNumber {
                    assert_eq!(next, CallNext::Finished(Disposition::InvalidNumber), "{code}");
                }
            }
        }
    }
}
