//! Asks a peer something that is no call, and waits for the answer (RFC 3261 17.1.2); with
//! credentials if they are asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outdial_ports::Monotonic;

use super::Context;
use super::digest::Credentials;
use super::endpoint::Endpoint;
use super::logins::{Headers, Learned, Logins};
use super::message::{Method, Response, SipUri};
use super::transaction::{ClientRequest, Timers, TxAction};
use super::transport::{Flow, Sent};

/// How often a challenge is answered.
const LOGINS: u32 = 2;

/// What is sent, and over which way.
pub(crate) struct Sending<'a> {
    pub(crate) method: &'a Method,
    pub(crate) flow: &'a Flow,
    pub(crate) branch: &'a str,
    pub(crate) bytes: Bytes,
}

/// Sends it, again and again where something can be lost; the final answer. None: there is
/// none until Timer F or `by`.
pub(crate) async fn ask(
    end: &Arc<Endpoint>,
    sending: Sending<'_>,
    timers: &Timers,
    by: Monotonic,
) -> Option<Response> {
    let Sending { method, flow, branch, bytes } = sending;
    let (_asked, mut answers) = end.expect(method, branch);
    let clock = &end.clock;
    if end.transports.send(flow, bytes.clone(), Some(by)).await != Sent::Whole {
        return None;
    }
    let mut machine = ClientRequest::new(timers, flow.is_reliable(), clock.monotonic());
    loop {
        let deadline = machine.deadline().map_or(by, |at| at.min(by));
        let actions = tokio::select! {
            biased;
            Some(answer) = answers.recv() => {
                let actions = machine.on_response(clock.monotonic(), answer.status);
                if answer.status >= 200 {
                    return Some(answer);
                }
                actions
            }
            () = clock.sleep_until(deadline) => machine.on_tick(clock.monotonic()),
        };
        if machine.is_over() || clock.monotonic() >= by {
            return None;
        }
        if actions.contains(&TxAction::Resend) {
            end.transports.send(flow, bytes.clone(), Some(by)).await;
        }
    }
}

/// What is asked, and as whom.
pub(crate) struct Question<'a> {
    pub(crate) method: Method,
    /// The request line's.
    pub(crate) uri: &'a SipUri,
    /// Of the first request; each one more with credentials has one more.
    pub(crate) cseq: u32,
    pub(crate) credentials: Option<Credentials>,
    /// How long an answer may take; Timer F at most.
    pub(crate) patience: Duration,
}

/// Asks; `build` makes a request of `CSeq`, branch and credentials. None: no answer, or the request
/// cannot be written.
pub(crate) async fn ask_with_credentials(
    ctx: &Context,
    end: &Arc<Endpoint>,
    flow: &Flow,
    question: &Question<'_>,
    build: impl Fn(u32, &str, &Headers) -> Option<Bytes>,
) -> Option<Response> {
    let mut logins = Logins::default();
    let mut nth = 0;
    loop {
        let cseq = question.cseq.saturating_add(nth);
        let branch = ctx.random_branch();
        let (who, uri) = (question.credentials.as_ref(), question.uri.as_str());
        let proof = logins.headers(who, &question.method, uri, &ctx.random_hex());
        let bytes = build(cseq, &branch, &proof)?;
        let by = ctx.clock.monotonic().after(question.patience);
        let sending = Sending { method: &question.method, flow, branch: &branch, bytes };
        let answer = ask(end, sending, &ctx.timers, by).await?;
        // Refused with these credentials: they do not get better by being repeated.
        let may_go_on = matches!(answer.status, 401 | 407)
            && nth < LOGINS
            && who.is_some()
            && logins.learn(&answer) == Learned::Fresh;
        if !may_go_on {
            return Some(answer);
        }
        nth += 1;
    }
}
