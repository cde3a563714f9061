//! What those who run Outdial look at, as far as the binary hands it over.

use std::fmt;
use std::sync::Arc;

use outdial_ports::{Meters, Tasks};

/// What can be looked at. Nothing, unless the binary says otherwise.
#[derive(Clone, Default)]
pub struct Monitoring {
    /// What is measured; none: `/metrics` is not there.
    pub meters: Option<Arc<dyn Meters>>,
    /// What `/metrics` asks for as bearer token; none: nothing.
    pub metrics_token: Option<String>,
    /// Background work of this process; none: there is none.
    pub tasks: Option<Arc<dyn Tasks>>,
}

impl fmt::Debug for Monitoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitoring").finish_non_exhaustive()
    }
}
