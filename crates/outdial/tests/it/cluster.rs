//! Several nodes on one PostgreSQL, as their users meet them: with a telephone network of our own
//! that writes down every call, and with everything going wrong in between that can.

mod commits;
mod database_gone;
#[allow(dead_code, reason = "the benchmarks' machine; a test needs a part of it")]
#[path = "../../benches/support/machine.rs"]
mod machine;
mod nodes;
mod phones;
mod proxy;
mod slow;
mod three_nodes;
mod wire;
