//! What a benchmark is asked for: `--database postgres`, and numbers in their order.

/// Whether it is to run on PostgreSQL, and the other arguments.
pub(crate) fn arguments() -> (bool, impl Iterator<Item = String>) {
    let mut all: Vec<String> = std::env::args().skip(1).collect();
    let is_postgres = all.iter().position(|a| a == "--database").map(|at| {
        let of = all.drain(at..(at + 2).min(all.len())).nth(1).unwrap_or_default();
        match of.as_str() {
            "postgres" => true,
            "sqlite" => false,
            _ => panic!("--database is postgres or sqlite, not `{of}`"),
        }
    });
    // What cargo adds begins with dashes.
    (is_postgres.unwrap_or(false), all.into_iter().filter(|a| !a.starts_with("--")))
}
