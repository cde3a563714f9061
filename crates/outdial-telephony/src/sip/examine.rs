//! One look at a trunk for its operator: where it is, whether it answers, whether it takes the
//! credentials. Nobody is called, and nothing is left at the trunk.

use outdial_ports::store::TrunkRecord;

use super::health::{Look, bindings, look};
use super::trunk::{Trunk, Unreachable};
use super::{Context, SipCarrier};

/// What was looked at, and what was found; in words for people, `Err`: it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `resolve`, `options` or `login`.
    pub what: &'static str,
    /// What was found.
    pub result: Result<String, String>,
}

impl SipCarrier {
    /// Looks at a trunk step by step; what follows a step that failed is left out.
    pub async fn examine(&self, trunk: &TrunkRecord) -> Vec<Finding> {
        let mut found = Vec::new();
        let Some(trunk) = Trunk::of(trunk) else {
            let result = Err("it is no SIP trunk".to_owned());
            return vec![Finding { what: "resolve", result }];
        };
        Context::start(self.context());
        for what in ["resolve", "options", "login"] {
            let result = match what {
                "resolve" => resolve(self.context(), &trunk).await,
                "options" => options(self.context(), &trunk).await,
                _ => login(self.context(), &trunk).await,
            };
            let is_wrong = result.is_err();
            found.push(Finding { what, result });
            if is_wrong {
                break;
            }
        }
        found
    }
}

async fn resolve(ctx: &Context, trunk: &Trunk) -> Result<String, String> {
    let first = trunk.first_hop();
    let by = ctx.clock.monotonic().after(ctx.timers.t1_64());
    let open = ctx.opened(by).await.map_err(|why| why.detail)?;
    let chance = ctx.entropy.next_u64();
    let located = open.resolver.locate(&first.host, first.port, trunk.spec.transport, chance).await;
    let places = located.map_err(|why| format!("{} cannot be found: {why}", first.host))?;
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    Ok(format!("{} is at {}", first.host, places.join(", ")))
}

async fn options(ctx: &Context, trunk: &Trunk) -> Result<String, String> {
    let Look { flow, answer } = look(ctx, trunk).await.map_err(|why| cannot(&why))?;
    let (peer, over) = (flow.peer(), trunk.spec.transport.as_str());
    match answer.map(|answer| answer.status) {
        None => Err(format!("{peer} does not answer OPTIONS over {over}; some carriers never do")),
        Some(status @ (401 | 407)) => Err(format!(
            "{peer} answers OPTIONS with {status}: it wants credentials, and these are wrong or \
             missing"
        )),
        Some(status) => Ok(format!("{peer} answers OPTIONS over {over} with {status}")),
    }
}

/// Asks for the bindings of our name (RFC 3261 section 10.2.3): it changes nothing, and carriers
/// that register anybody want credentials for it.
async fn login(ctx: &Context, trunk: &Trunk) -> Result<String, String> {
    let Some(user) = trunk.spec.username.as_deref() else {
        return Ok("there are no credentials; the carrier knows us by our address".to_owned());
    };
    match bindings(ctx, trunk).await.map_err(|why| cannot(&why))?.map(|answer| answer.status) {
        Some(200..=299) => Ok(format!("it takes the credentials of {user}")),
        Some(status @ (401 | 403 | 407)) => {
            Err(format!("it refuses the credentials of {user} ({status})"))
        }
        Some(status) => Ok(format!("it registers nobody ({status}): the first call will tell")),
        None => Ok("it does not answer REGISTER: the first call will tell".to_owned()),
    }
}

fn cannot(why: &Unreachable) -> String {
    format!("cannot be reached: {}", why.detail)
}
