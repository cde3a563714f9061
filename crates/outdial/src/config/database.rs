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
    /// `postgres://…`: a PostgreSQL, or an engine that speaks its protocol.
    Postgres(PostgresUrl),
}

/// A URL that may carry a password: it is shown without.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresUrl(String);

impl PostgresUrl {
    /// All of it, for who opens the database. Never for logs and messages.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }
}

impl Default for DatabaseUrl {
    fn default() -> Self {
        Self::Sqlite(PathBuf::from("outdial.db"))
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A PostgreSQL URL may carry a password: it is not repeated in any message.
        for scheme in ["postgres://", "postgresql://"] {
            match text.strip_prefix(scheme) {
                None => {}
                Some("") => {
                    return Err("postgres:// needs a server and a database, for instance \
                                postgres://outdial@localhost/outdial"
                        .to_owned());
                }
                Some(_) => return Ok(Self::Postgres(PostgresUrl(text.to_owned()))),
            }
        }
        let Some(rest) = text.strip_prefix("sqlite:") else {
            return Err("a database URL begins with `sqlite:` or `postgres://`, for instance \
                        sqlite:outdial.db, sqlite:/var/lib/outdial/outdial.db or \
                        postgres://outdial@localhost/outdial"
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
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, rest) = self.0.split_once("://").unwrap_or_default();
        // The query may carry a password as well.
        let shown = rest.split_once('?').map_or(rest, |(before, _)| before);
        match shown.rsplit_once('@') {
            Some((user, place)) => {
                let user = user.split_once(':').map_or(user, |(name, _)| name);
                write!(f, "postgres://{user}@{place}")
            }
            // A password may hold a question mark that ought to be written as %3F.
            None if rest.contains('@') => f.write_str("postgres://…"),
            None => write!(f, "postgres://{shown}"),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
    fn a_password_is_never_shown() {
        for (text, shown) in [
            ("postgres://me:secret@host:5433/db", "postgres://me@host:5433/db"),
            ("postgresql://me:se@cret@host/db", "postgres://me@host/db"),
            ("postgres://me:se/cret@host/db?sslmode=require", "postgres://me@host/db"),
            ("postgres://host/db?user=me&password=secret", "postgres://host/db"),
            ("postgres://host/db?user=me&password=x@secret", "postgres://…"),
            ("postgres://me:x?secret@host/db", "postgres://…"),
            ("postgres:///db?host=/run/postgresql", "postgres:///db"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("secret"));
            let DatabaseUrl::Postgres(url) = url else { panic!("{text}") };
            assert_eq!(url.secret(), text);
        }
    }

    #[test]
    fn what_cannot_be_opened_says_what_to_do() {
        for bad in ["outdial.db", "sqlite:", "sqlite::memory:", "mysql://x"] {
            let message = bad.parse::<DatabaseUrl>().unwrap_err();
            assert!(message.contains("sqlite:outdial.db"), "{bad}: {message}");
        }
        let message = "postgres://".parse::<DatabaseUrl>().unwrap_err();
        assert!(message.contains("postgres://outdial@localhost/outdial"), "{message}");
    }
}
