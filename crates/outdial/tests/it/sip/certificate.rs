//! A certificate of this machine for a day, and the authority that signed it; by `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::run;

const SETTINGS: &str = "
[req]
distinguished_name = name
prompt = no
[name]
CN = localhost
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[leaf]
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
";

/// Files, PEM.
pub(crate) struct Certificate {
    pub(crate) authority: PathBuf,
    pub(crate) leaf: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes them in a folder.
    pub(crate) fn make(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        std::fs::write(file("openssl.cnf"), SETTINGS).unwrap();
        let request = |extensions: &str, key: &str, out: &str, signed_by: &[&str]| {
            let mut openssl = Command::new("openssl");
            openssl.current_dir(folder).args(["req", "-x509", "-config", "openssl.cnf", "-nodes"]);
            openssl.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
            openssl.args(["-days", "2", "-extensions", extensions, "-keyout", key, "-out", out]);
            let done = run(openssl.args(signed_by));
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        request("authority", "authority.key", "authority.pem", &[]);
        request(
            "leaf",
            "leaf.key",
            "leaf.pem",
            &["-CA", "authority.pem", "-CAkey", "authority.key"],
        );
        Self { authority: file("authority.pem"), leaf: file("leaf.pem"), key: file("leaf.key") }
    }
}
