//! Outdial: one binary that takes lists of people to call, and calls them.
fn main() {}
