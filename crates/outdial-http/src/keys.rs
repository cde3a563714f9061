//! API keys: how they look, and what of them is remembered.
//!
//! `od_`, 48 hexadecimal digits of chance, 8 of a checksum. The checksum lets a mistyped key be
//! refused without asking the store, and lets secret scanners tell a key from other text. The store
//! only ever sees a keyed hash.

use hmac::{Hmac, Mac};
use outdial_core::id::KeyId;
use outdial_core::time::Timestamp;
use outdial_ports::Entropy;
use outdial_ports::store::KeyRecord;
use sha2::Sha256;

const PREFIX: &str = "od_";
const RANDOM_BYTES: usize = 24;
const RANDOM_CHARS: usize = 2 * RANDOM_BYTES;
const CHECKSUM_CHARS: usize = 8;

/// A new secret. It is shown once, and can never be shown again.
pub fn mint(entropy: &dyn Entropy) -> String {
    let mut random = [0; RANDOM_BYTES];
    entropy.fill(&mut random);
    let mut key = String::with_capacity(PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS);
    key.push_str(PREFIX);
    for byte in random {
        key.push_str(&format!("{byte:02x}"));
    }
    let checksum = crc32fast::hash(key.as_bytes());
    key.push_str(&format!("{checksum:08x}"));
    key
}

/// What the store remembers of `key`: HMAC-SHA256 under the store's own secret, so that a copy of
/// the database alone does not let anybody test guesses.
pub fn hash(secret: &[u8; 32], key: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
    mac.update(key.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The last characters of a key, for people to tell keys apart.
pub fn hint(key: &str) -> String {
    let start = key.len().saturating_sub(4);
    key.get(start..).unwrap_or_default().to_owned()
}

/// Until when the successor of a key is good, where nobody says: as long as that key was to last
/// when it was made; none: for good. `all` are the keys of its workspace, oldest first.
pub fn successor_expiry(all: &[KeyRecord], key: KeyId, now: Timestamp) -> Option<Timestamp> {
    // An earlier rotation may have cut the key short, but not the successor that it made.
    let of_before = all.iter().rev().find(|k| k.replaces == Some(key));
    let model = of_before.or_else(|| all.iter().find(|k| k.id == key))?;
    model.expires_at.map(|end| now.after(end.since(model.created_at)))
}

/// Whether `key` looks like one and its checksum is right.
pub fn is_well_formed(key: &str) -> bool {
    let Some((body, checksum)) = key.split_at_checked(PREFIX.len() + RANDOM_CHARS) else {
        return false;
    };
    body.starts_with(PREFIX)
        && checksum.len() == CHECKSUM_CHARS
        && key[PREFIX.len()..].bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && format!("{:08x}", crc32fast::hash(body.as_bytes())) == checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sevens;
    impl Entropy for Sevens {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    #[test]
    fn a_minted_key_is_well_formed() {
        let key = mint(&Sevens);
        assert_eq!(key.len(), 59);
        assert!(is_well_formed(&key), "{key}");
        assert_eq!(hint(&key), key[55..]);
    }

    #[test]
    fn a_mistyped_key_is_not() {
        let key = mint(&Sevens);
        let wrong = key.replacen('7', "8", 1);
        for bad in ["", "od_", "é", &key[..58], &key[1..], &wrong, &key.to_uppercase()] {
            assert!(!is_well_formed(bad), "{bad}");
        }
        assert!(!is_well_formed(&format!("{key}0")));
    }

    #[test]
    fn a_successor_lasts_as_long_as_its_key_was_to() {
        let at = |s: i64| Timestamp::from_millis(s * 1000);
        let key = |n: u64, made: i64, ends: Option<i64>, replaces| KeyRecord {
            id: KeyId::from_parts(1, n),
            name: String::new(),
            hint: String::new(),
            scopes: Vec::new(),
            created_at: at(made),
            revoked_at: None,
            expires_at: ends.map(at),
            last_used_at: None,
            replaces,
        };
        let (first, second) = (KeyId::from_parts(1, 1), KeyId::from_parts(1, 2));
        let mut all = vec![key(1, 0, None, None), key(2, 10, Some(110), None)];
        assert_eq!(successor_expiry(&all, first, at(50)), None);
        assert_eq!(successor_expiry(&all, second, at(50)), Some(at(150)));
        assert_eq!(successor_expiry(&all, KeyId::from_parts(1, 9), at(50)), None);
        // It was rotated and ends soon; its successor was lost.
        all[0].expires_at = Some(at(60));
        all.push(key(3, 50, None, Some(first)));
        assert_eq!(successor_expiry(&all, first, at(55)), None);
    }

    #[test]
    fn the_hash_depends_on_the_stores_secret() {
        assert_ne!(hash(&[1; 32], "od_x"), hash(&[2; 32], "od_x"));
        assert_ne!(hash(&[1; 32], "od_x"), hash(&[1; 32], "od_y"));
    }
}
