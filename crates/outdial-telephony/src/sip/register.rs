//! Registrations (RFC 3261 section 10): made, refreshed before they end, and taken back when a
//! trunk is of no use any more. It must never say that one stands which the registrar did not
//! grant.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outdial_ports::store::{SipSpec, TrunkState};
use tokio::task::JoinSet;

use super::Context;
use super::ask::{Question, ask_with_credentials};
use super::health::{Person, pause, reach};
use super::logins::Headers;
use super::message::{Address, Method, Response, SipUri, Unfit, name_addr};
use super::trunk::{Trunk, Unreachable};

/// How long a registration is asked for, seconds.
const EXPIRES: u32 = 3600;
/// The longest that a registrar may want it to be asked for, seconds.
const MOST: u32 = 24 * 3600;
/// The pause after one was refused.
const AFTER_REFUSAL: Duration = Duration::from_secs(30);
/// One that lasts less than this, in seconds, is refreshed at half of it.
const SHORT: u32 = 60;

/// A registration as its registrar knows it: each of its requests follows the one before.
#[derive(Debug)]
pub(crate) struct Registration {
    call_id: String,
    tag: String,
    cseq: u32,
    stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    No,
    /// It was asked for.
    Perhaps,
    Yes,
}

impl Registration {
    fn new(ctx: &Context) -> Self {
        let (call_id, tag) = (ctx.random_hex(), ctx.random_hex());
        Self { call_id, tag, cseq: 1, stands: Stands::No }
    }
}

/// Registers a trunk that wants it, for as long as this runs.
pub(crate) async fn keep_registered(ctx: &Context, trunk: &Trunk) {
    if !trunk.spec.register {
        return;
    }
    trunk.set_health(ctx.clock.now(), TrunkState::Down, "not registered yet".to_owned());
    let mut expires = EXPIRES;
    let mut has_asked_for_more = false;
    loop {
        let found = register(ctx, trunk, expires).await;
        if let Ok(Registered::AskFor(seconds)) = found
            && !has_asked_for_more
        {
            (expires, has_asked_for_more) = (seconds, true);
            continue;
        }
        has_asked_for_more = false;
        let (state, detail, wait) = match found {
            Ok(Registered::For(0)) => {
                let detail = "the registrar let the registration end at once".to_owned();
                (TrunkState::Down, detail, AFTER_REFUSAL)
            }
            Ok(Registered::For(seconds)) => {
                (TrunkState::Up, "registered".to_owned(), refresh_in(seconds))
            }
            Ok(Registered::AskFor(seconds)) => {
                expires = seconds;
                let detail = format!("registers for {seconds} s at least");
                (TrunkState::Down, detail, AFTER_REFUSAL)
            }
            Ok(Registered::Refused(status)) => {
                let detail = format!("REGISTER was refused with {status}");
                (TrunkState::Down, detail, AFTER_REFUSAL)
            }
            Err(why) => (TrunkState::Down, why, AFTER_REFUSAL),
        };
        trunk.set_health(ctx.clock.now(), state, detail);
        trunk.set_registered(state == TrunkState::Up);
        pause(ctx, wait).await;
    }
}

/// When a registration for so many seconds is refreshed.
fn refresh_in(seconds: u32) -> Duration {
    let all = Duration::from_secs(seconds.into());
    let part = if seconds < SHORT { all / 2 } else { all * 4 / 5 };
    part.max(Duration::from_secs(1))
}

/// Takes a registration back that may stand, as far as that is soon done.
pub(crate) async fn unregister(ctx: &Context, trunk: &Trunk) {
    let stands = trunk.registration().as_ref().map(|registration| registration.stands);
    if stands.is_none_or(|stands| stands == Stands::No) {
        return;
    }
    let by = ctx.clock.monotonic().after(ctx.timers.t1.saturating_mul(4));
    tokio::select! {
        biased;
        done = register(ctx, trunk, 0) => {
            if let Err(why) = done {
                tracing::debug!(trunk = %trunk.id, why, "a registration was not taken back");
            }
        }
        () = ctx.clock.sleep_until(by) => {}
    }
}

/// Takes all of them back, at once.
pub(crate) async fn unregister_all(ctx: &Arc<Context>) {
    let mut all = JoinSet::new();
    for trunk in ctx.trunks() {
        let ctx = Arc::clone(ctx);
        all.spawn(async move { unregister(&ctx, &trunk).await });
    }
    while all.join_next().await.is_some() {}
}

/// Whether a registration by `new` takes the place of one by `old`: same registrar, same name, same
/// way.
pub(crate) fn is_taken_over(old: &SipSpec, new: &SipSpec) -> bool {
    let key = |spec: &SipSpec| {
        let way = (spec.host.clone(), spec.port, spec.transport, spec.proxy.clone());
        (way, spec.username.clone(), spec.from_domain.clone())
    };
    new.register && key(old) == key(new)
}

/// What came of a REGISTER.
enum Registered {
    /// Seconds.
    For(u32),
    /// It must be asked for this many seconds.
    AskFor(u32),
    Refused(u16),
}

async fn register(ctx: &Context, trunk: &Trunk, expires: u32) -> Result<Registered, String> {
    let unreachable = |why: Unreachable| format!("cannot be reached: {}", why.detail);
    let (open, flow) = reach(ctx, trunk).await.map_err(unreachable)?;
    let bad = |why: Unfit| why.to_string();
    let registrar = SipUri::new(None, trunk.domain(), None).map_err(bad)?;
    let us = trunk.us().map_err(bad)?;
    let contact = trunk.contact(&us.user().unwrap_or_default(), &flow).map_err(bad)?;
    let (call_id, tag, cseq) = next_of(ctx, trunk);
    let person = Person { uri: &registrar, from: &us, to: &us, tag };
    let build = |cseq, branch: &str, proof: &Headers| -> Option<Bytes> {
        person
            .start(ctx, trunk, &flow, &Method::Register, cseq, branch, &call_id, proof)?
            .header("Contact", name_addr(&contact, None))
            .header("Expires", expires)
            .build()
            .ok()
    };
    let question = Question {
        method: Method::Register,
        uri: &registrar,
        cseq,
        credentials: trunk.credentials(),
        patience: ctx.timers.t1_64(),
    };
    let answer = ask_with_credentials(ctx, &open.endpoint, &flow, &question, build).await;
    let answer = answer.ok_or("does not answer REGISTER")?;
    let registered = read(&answer, &contact, expires);
    if let Some(registration) = &mut *trunk.registration() {
        registration.stands = match (&registered, registration.stands) {
            (Registered::For(0), _) => Stands::No,
            (Registered::For(_), _) => Stands::Yes,
            // That it was not refreshed does not end it.
            (_, Stands::Yes) => Stands::Yes,
            _ => Stands::No,
        };
    }
    Ok(registered)
}

/// The names of the next REGISTER: `Call-ID`, our tag, `CSeq`.
fn next_of(ctx: &Context, trunk: &Trunk) -> (String, String, u32) {
    let mut registration = trunk.registration();
    let registration = registration.get_or_insert_with(|| Registration::new(ctx));
    let cseq = registration.cseq;
    // Each request with credentials uses one more.
    registration.cseq = cseq.saturating_add(4);
    if registration.stands == Stands::No {
        registration.stands = Stands::Perhaps;
    }
    (registration.call_id.clone(), registration.tag.clone(), cseq)
}

fn read(answer: &Response, contact: &SipUri, expires: u32) -> Registered {
    let head = &answer.head;
    match answer.status {
        200..=299 => {
            let is_ours = |c: &Address| c.uri.user() == contact.user();
            let of_contact = head.contacts().into_iter().find(is_ours);
            let of_contact = of_contact.and_then(|c| c.param("expires")?.parse().ok());
            Registered::For(of_contact.or(head.expires()).unwrap_or(expires))
        }
        423 => match head.get("Min-Expires").and_then(|least| least.trim().parse().ok()) {
            Some(least) if expires < least && least <= MOST => Registered::AskFor(least),
            _ => Registered::Refused(423),
        },
        status => Registered::Refused(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshed_before_it_ends() {
        for (seconds, ms) in [(3600, 2_880_000), (60, 48_000), (30, 15_000), (3, 1500), (1, 1000)] {
            assert_eq!(refresh_in(seconds), Duration::from_millis(ms), "{seconds}");
        }
    }
}
