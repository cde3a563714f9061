//! Signatures and bodies by Standard Webhooks 1.0: what a receiver checks. Knows no time and sends
//! nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use outdial_core::time::Timestamp;
use outdial_ports::store::DeliveryJob;
use sha2::Sha256;

/// Written before every secret.
const PREFIX: &str = "whsec_";

/// The header `webhook-signature`: one signature for each secret. None: a secret is not one.
pub(crate) fn signature(
    secrets: &[&str],
    id: &str,
    timestamp_s: u32,
    body: &str,
) -> Option<String> {
    let mut signatures = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
        for part in [id, ".", &timestamp_s.to_string(), ".", body] {
            mac.update(part.as_bytes());
        }
        signatures.push(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    }
    Some(signatures.join(" "))
}

/// The secrets that are good at `now`, the latest first.
pub(crate) fn secrets(job: &DeliveryJob, now: Timestamp) -> Vec<&str> {
    let old = job.webhook.old_secret.as_ref().filter(|(_, until)| now < *until);
    let latest = job.webhook.secret.0.as_str();
    [Some(latest), old.map(|(secret, _)| secret.0.as_str())].into_iter().flatten().collect()
}

/// The body: what happened, when, and its data with the endpoint's own `sequence`. The same bytes
/// at every try.
pub(crate) fn body(job: &DeliveryJob) -> String {
    let event = &job.event;
    let members = event.data.trim().strip_prefix('{').unwrap_or("}").trim_start();
    let comma = if members.starts_with('}') { "" } else { "," };
    format!(
        r#"{{"type":"{}","timestamp":"{}","data":{{"sequence":{}{comma}{members}}}"#,
        event.kind.as_str(),
        event.at,
        job.sequence,
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::job;
    use super::*;

    /// The vector of the specification's own library.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_vector_of_the_specification() {
        let signed = signature(
            &[SECRET],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signed.as_deref(), Some(expected));
    }

    #[test]
    fn two_secrets_make_two_signatures() {
        let other = format!("{PREFIX}{}", STANDARD.encode([7; 32]));
        let of = |secrets: &[&str]| signature(secrets, "id", 1, "{}").unwrap();
        assert_eq!(of(&[SECRET, &other]), format!("{} {}", of(&[SECRET]), of(&[&other])));
        for bad in ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_*"] {
            assert_eq!(signature(&[bad], "id", 1, "{}"), None);
        }
    }

    #[test]
    fn the_old_secret_signs_until_it_ends() {
        let mut job = job(1, 1);
        job.webhook.old_secret =
            Some((outdial_ports::store::Secret("old".into()), Timestamp::from_millis(1_000)));
        assert_eq!(secrets(&job, Timestamp::from_millis(999)).len(), 2);
        assert_eq!(secrets(&job, Timestamp::from_millis(1_000)).len(), 1);
    }

    #[test]
    fn bodies_are_json_with_the_sequence() {
        let mut job = job(1, 1);
        for (data, expected) in [
            ("{}", r#"{"sequence":7}"#),
            (r#"{"a":1}"#, r#"{"sequence":7,"a":1}"#),
            (r#" { "a" : "}" } "#, r#"{"sequence":7,"a":"}"}"#),
        ] {
            data.clone_into(&mut job.event.data);
            job.sequence = 7;
            let text = body(&job);
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read["type"], "call.finished");
            assert_eq!(read["timestamp"], "1970-01-01T00:00:01.000Z");
            let data: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(read["data"], data, "{text}");
        }
    }
}
