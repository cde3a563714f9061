//! The traits where the rooms meet. Whoever is on one side of a port knows nothing of the other.
//!
//! Object-safe, so that the binary can wire a carrier or a store at run time, and the simulator can
//! put its own in. No implementations here.
#![forbid(unsafe_code)]

mod carrier;
mod clock;
mod courier;
mod failpoint;
mod journal;
mod report;
pub mod store;
mod watermark;

pub use carrier::{CallControl, CallOrder, CallStream, Carrier, Leaving, OrphanCall, PlacedCall};
pub use clock::{Clock, Entropy, Monotonic};
pub use courier::{Courier, CourierError, CourierErrorKind, Parcel, REPLY_READ_MAX, Reply};
pub use failpoint::{FAILPOINTS, failpoint, failpoint_of};
pub use journal::{Journal, JournalError, KeptEnd};
pub use report::{Meters, TaskReport, Tasks};
pub use store::Store;
pub use watermark::{Mark, Noted, Watermark, WatermarkError};
