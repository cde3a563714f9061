//! A contact record: what a caller sent for one person, checked.
