//! When a trunk that refuses calls is paused, and for how long.
