//! One file for each command. A command reads its flags, does one thing, and says what came of it.

pub(crate) mod add;
pub(crate) mod batch;
pub(crate) mod copy;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod key;
pub(crate) mod migrate;
pub(crate) mod simulate;
pub(crate) mod workspace;
