//! Names of users and groups, both ways.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

/// Each of the four tables holds this many answers, then starts anew: owners are few, but a hostile tree may have
/// one for every file.
const CACHE_MAX_ENTRIES: usize = 4096;

/// The user and group names of this machine, asked for once each. Shared by threads.
#[derive(Debug, Default)]
pub struct OwnerNames {
    user_names: Cache<u32, Vec<u8>>,
    group_names: Cache<u32, Vec<u8>>,
    user_ids: Cache<Vec<u8>, Option<u32>>,
    group_ids: Cache<Vec<u8>, Option<u32>>,
}

impl OwnerNames {
    /// An empty cache.
    pub fn new() -> OwnerNames {
        OwnerNames::default()
    }

    /// The name of a user; empty if it has none here.
    pub fn user_name(&self, uid: u32) -> Vec<u8> {
        self.user_names.get(uid, |uid| Ok(User::from_uid(Uid::from_raw(*uid))?.map(|user| user.name.into_bytes())))
    }

    /// The name of a group; empty if it has none here.
    pub fn group_name(&self, gid: u32) -> Vec<u8> {
        self.group_names.get(gid, |gid| Ok(Group::from_gid(Gid::from_raw(*gid))?.map(|group| group.name.into_bytes())))
    }

    /// The id that a user of this name has here.
    pub fn user_id(&self, name: &[u8]) -> Option<u32> {
        let text = std::str::from_utf8(name).ok().filter(|text| !text.is_empty())?;
        self.user_ids.get(name.to_vec(), |_| Ok(User::from_name(text)?.map(|user| Some(user.uid.as_raw()))))
    }

    /// The id that a group of this name has here.
    pub fn group_id(&self, name: &[u8]) -> Option<u32> {
        let text = std::str::from_utf8(name).ok().filter(|text| !text.is_empty())?;
        self.group_ids.get(name.to_vec(), |_| Ok(Group::from_name(text)?.map(|group| Some(group.gid.as_raw()))))
    }
}

#[derive(Debug)]
struct Cache<K, V> {
    answers: Mutex<HashMap<K, V>>,
}

// Not derived: that would ask for keys and values with defaults.
impl<K, V> Default for Cache<K, V> {
    fn default() -> Cache<K, V> {
        Cache { answers: Mutex::default() }
    }
}

impl<K: Eq + Hash, V: Clone + Default> Cache<K, V> {
    /// The answer for `key`: a remembered one, or what `ask` says. "There is none" is remembered as the default; a
    /// directory service that fails right now answers the default too, but is asked again next time.
    fn get(&self, key: K, ask: impl FnOnce(&K) -> Result<Option<V>, Errno>) -> V {
        if let Some(answer) = self.lock().get(&key) {
            return answer.clone();
        }
        // The lock is free meanwhile: a slow directory service must not stop threads that ask for known names.
        let answer = match ask(&key) {
            Ok(answer) => answer.unwrap_or_default(),
            // Some services say "no such name" by these (getpwnam(3)).
            Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => V::default(),
            Err(_) => return V::default(),
        };
        let mut answers = self.lock();
        if answers.len() >= CACHE_MAX_ENTRIES {
            answers.clear();
        }
        answers.insert(key, answer.clone());
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, V>> {
        // A poisoned cache still holds right answers.
        self.answers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_of_root_belong_together() {
        let owners = OwnerNames::new();
        assert_eq!(owners.user_name(0), b"root");
        assert_eq!(owners.group_name(0), b"root");
        assert_eq!(owners.user_id(b"root"), Some(0));
        assert_eq!(owners.group_id(b"root"), Some(0));
    }

    #[test]
    fn unknown_ids_and_names_have_no_partner() {
        let owners = OwnerNames::new();
        assert_eq!(owners.user_name(3_999_999_999), b"");
        assert_eq!(owners.group_name(3_999_999_999), b"");
        for name in [&b"no such user"[..], b"", b"\xff\xfe", b"nul\0nul"] {
            assert_eq!(owners.user_id(name), None);
            assert_eq!(owners.group_id(name), None);
        }
    }

    #[test]
    fn an_answer_is_asked_for_once() {
        let cache = Cache::<u32, Vec<u8>>::default();
        assert_eq!(cache.get(7, |_| Ok(Some(b"seven".to_vec()))), b"seven");
        assert_eq!(cache.get(7, |_| panic!("asked again")), b"seven");
        assert_eq!(cache.get(8, |_| Err(Errno::ENOENT)), b"");
        assert_eq!(cache.get(8, |_| panic!("asked again")), b"");
    }

    #[test]
    fn a_failing_service_is_asked_again() {
        let cache = Cache::<u32, Vec<u8>>::default();
        assert_eq!(cache.get(7, |_| Err(Errno::EIO)), b"");
        assert_eq!(cache.get(7, |_| Ok(Some(b"seven".to_vec()))), b"seven");
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = Cache::<usize, usize>::default();
        for key in 0..CACHE_MAX_ENTRIES * 3 {
            assert_eq!(cache.get(key, |key| Ok(Some(key + 1))), key + 1);
            assert!(cache.lock().len() <= CACHE_MAX_ENTRIES);
        }
    }
}
