//! How often the kernel asked, and what for: told by an attribute of the mount's root, so that a slow program can be
//! explained and a test can tell a storm of requests from none.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the kernel asked for. The rest is rare.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request {
    Lookup,
    Getattr,
    Readlink,
    Open,
    Read,
    Opendir,
    Readdir,
    Getxattr,
    Listxattr,
    Lseek,
}

const NAMES: [&str; 10] =
    ["lookup", "getattr", "readlink", "open", "read", "opendir", "readdir", "getxattr", "listxattr", "lseek"];

/// The attribute that tells.
pub(super) const REQUESTS_ATTRIBUTE: &[u8] = b"user.yesterfs.requests";

/// Counts since the mount began.
#[derive(Debug, Default)]
pub(super) struct Requests([AtomicU64; NAMES.len()]);

impl Requests {
    pub fn count(&self, request: Request) {
        self.0[request as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Each kind with its count, as `read=5`, joined by spaces.
    pub fn text(&self) -> String {
        let counts = NAMES.iter().zip(&self.0).map(|(name, count)| format!("{name}={}", count.load(Ordering::Relaxed)));
        counts.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_under_its_name() {
        let requests = Requests::default();
        (0..3).for_each(|_| requests.count(Request::Lookup));
        requests.count(Request::Lseek);
        assert!(requests.text().starts_with("lookup=3 getattr=0 "), "{}", requests.text());
        assert!(requests.text().ends_with(" lseek=1"), "{}", requests.text());
    }
}
