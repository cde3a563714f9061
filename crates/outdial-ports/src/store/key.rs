//! API keys, as the store remembers them: never a secret, only its keyed hash.

use std::time::Duration;

use outdial_core::id::{KeyId, UserId, WorkspaceId};
use outdial_core::time::Timestamp;
use thiserror::Error;

use super::StoreError;

/// The last use of a key is written at most this often.
pub const KEY_USE_EVERY: Duration = Duration::from_secs(60);

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `calls:read`.
    CallsRead,
    /// `calls:write`.
    CallsWrite,
    /// `admin`.
    Admin,
}

impl Scope {
    /// Every one.
    pub const ALL: [Scope; 3] = [Self::CallsRead, Self::CallsWrite, Self::Admin];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallsRead => "calls:read",
            Self::CallsWrite => "calls:write",
            Self::Admin => "admin",
        }
    }

    /// The reverse of [`Scope::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// A set of scopes, sorted, without repetition.
pub type Scopes = Vec<Scope>;

/// A key to make. Its secret never reaches the store.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Keyed hash of the secret.
    pub hash: [u8; 32],
    /// The last characters of the secret, for people to tell keys apart.
    pub hint: String,
    /// Display name.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// From when on it is no longer good; none: it does not end by itself.
    pub expires_at: Option<Timestamp>,
}

/// The successor of a key; it has the name and the scopes of that one.
#[derive(Clone, Debug)]
pub struct KeyRotation {
    /// Keyed hash of the successor's secret.
    pub hash: [u8; 32],
    /// The last characters of that secret.
    pub hint: String,
    /// From when on the successor is no longer good; none: it does not end by itself.
    pub expires_at: Option<Timestamp>,
    /// How long the old key stays good, unless it ends sooner.
    pub old_for: Duration,
}

/// Why a key was not rotated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No such key in this workspace.
    #[error("no such key")]
    NotFound,
    /// It was revoked, or has expired.
    #[error("the key is no longer good")]
    Over,
    /// It has a successor that is good.
    #[error("the key has the successor {0} already")]
    HasSuccessor(KeyId),
    /// As ever.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Which.
    pub id: KeyId,
    /// Display name.
    pub name: String,
    /// The last characters of the secret.
    pub hint: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is no longer good, because somebody said so.
    pub revoked_at: Option<Timestamp>,
    /// From when on it is no longer good.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, give or take [`KEY_USE_EVERY`].
    pub last_used_at: Option<Timestamp>,
    /// Whose successor it is.
    pub replaces: Option<KeyId>,
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its user.
    pub user: UserId,
    /// With which key.
    pub key: KeyId,
    /// What that may do.
    pub scopes: Scopes,
    /// When it was last used, as far as it is written down.
    pub last_used_at: Option<Timestamp>,
}
