//! How many files this process may have open. A call has a socket, and keeps it for two seconds
//! after its end; many systems allow 1024 files to who does not ask for more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for as many as the system allows. It may allow fewer than calls need: that is no reason
/// not to call.
pub(crate) fn allow_all() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_that_is_allowed_is_left() {
        use super::{Resource, Rlimit, allow_all, getrlimit, setrlimit};

        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(512), maximum }).unwrap();
        allow_all();
        assert_eq!(getrlimit(Resource::Nofile), Rlimit { current: maximum, maximum });
    }
}
