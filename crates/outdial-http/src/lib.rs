//! The HTTP API: it writes intent and shows what happened; it cannot place a call.
