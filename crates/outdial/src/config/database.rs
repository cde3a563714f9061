//! Which database, out of its URL.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// A database that this version can open.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum DatabaseUrl {
    /// `sqlite:FILE`: one file on this machine.
    Sqlite(PathBuf),
}

impl Default for DatabaseUrl {
    fn default() -> Self {
        Self::Sqlite(PathBuf::from("outdial.db"))
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A PostgreSQL URL may carry a password: it is not repeated in the message.
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Err("this version keeps its data in SQLite only; PostgreSQL is not supported \
                        yet. Use sqlite:FILE, for instance sqlite:outdial.db"
                .to_owned());
        }
        let Some(rest) = text.strip_prefix("sqlite:") else {
            return Err("a database URL begins with `sqlite:`, for instance sqlite:outdial.db or \
                        sqlite:/var/lib/outdial/outdial.db"
                .to_owned());
        };
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            "" => Err("sqlite: needs a file, for instance sqlite:outdial.db".to_owned()),
            ":memory:" => Err("a database in memory would be lost with the process; name a file, \
                               for instance sqlite:outdial.db"
                .to_owned()),
            path => Ok(Self::Sqlite(PathBuf::from(path))),
        }
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_files() {
        for (text, path) in [
            ("sqlite:outdial.db", "outdial.db"),
            ("sqlite:/var/lib/o.db", "/var/lib/o.db"),
            ("sqlite:///var/lib/o.db", "/var/lib/o.db"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url, DatabaseUrl::Sqlite(path.into()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_opened_says_what_to_do() {
        let postgres = "postgres://me:secret@host/db".parse::<DatabaseUrl>().unwrap_err();
        assert!(postgres.contains("SQLite only"), "{postgres}");
        assert!(!postgres.contains("secret"), "{postgres}");
        for bad in ["outdial.db", "sqlite:", "sqlite::memory:", "mysql://x"] {
            let message = bad.parse::<DatabaseUrl>().unwrap_err();
            assert!(message.contains("sqlite:outdial.db"), "{bad}: {message}");
        }
    }
}
