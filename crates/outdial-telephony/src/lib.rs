//! Carriers: what places a call.
