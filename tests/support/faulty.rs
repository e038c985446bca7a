//! A backend that counts its calls, and that fails at a chosen one.

#![allow(dead_code, reason = "every test binary uses its own part")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use yesterfs::error::{Error, Result};
use yesterfs::store::backend::{Backend, ByteRange, Created, Listed, PutNew, Space};

/// When in the call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The call did nothing.
    Before,
    /// The call did all of its work; only the caller never learned it.
    After,
    /// The thread that called is gone.
    Panic,
}

/// Calls made, by what they asked for. Those that failed count too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub put_new: u64,
    pub write: u64,
    pub finish: u64,
    pub get_range: u64,
    pub list_after: u64,
    pub delete: u64,
    pub space: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    PutNew,
    Write,
    Finish,
    GetRange,
    ListAfter,
    Delete,
    Space,
}

/// The calls so far, and what goes wrong.
struct Ledger {
    name: String,
    calls: AtomicU64,
    by_verb: [AtomicU64; 7],
    fault: Option<Fault>,
}

/// Which call fails.
struct Fault {
    call: u64,
    /// It is the so many-th of this verb.
    verb: Option<Verb>,
    moment: Moment,
    /// All later ones too.
    for_ever: bool,
}

impl Ledger {
    /// Counts a call, and does it if the machine is still alive.
    fn call<T>(&self, verb: Verb, key: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let of_all = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let of_verb = self.by_verb[verb as usize].fetch_add(1, Ordering::SeqCst) + 1;
        let number = match self.fault.as_ref().and_then(|fault| fault.verb) {
            None => of_all,
            Some(failing) if failing == verb => of_verb,
            Some(_) => 0,
        };
        let stopped = || Error::Backend {
            operation: "reach",
            key: key.into(),
            backend: self.name.clone(),
            source: io::Error::other("the machine died"),
        };
        match &self.fault {
            Some(Fault { call, moment: Moment::After, .. }) if number == *call => {
                work()?;
                Err(stopped())
            }
            Some(Fault { call, moment: Moment::Panic, .. }) if number == *call => panic!("this thread is to be gone"),
            Some(Fault { call, for_ever, .. }) if number == *call || (*for_ever && number > *call) => Err(stopped()),
            _ => work(),
        }
    }
}

/// Another backend, watched; a chosen call fails, or from it on it answers nothing but errors, as if the machine had died
/// there. What the other backend holds then is what a restart finds.
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    ledger: Arc<Ledger>,
}

impl FaultyBackend {
    /// Only counts.
    pub fn recording(inner: Arc<dyn Backend>) -> FaultyBackend {
        FaultyBackend::new(inner, None)
    }

    /// Fails the `n`-th call, the first being 1, and all later ones.
    pub fn stop_at(inner: Arc<dyn Backend>, n: u64, moment: Moment) -> FaultyBackend {
        FaultyBackend::new(inner, Some(Fault { call: n, verb: None, moment, for_ever: true }))
    }

    /// Fails the `n`-th call, the first being 1, and no other.
    pub fn fail_once(inner: Arc<dyn Backend>, n: u64, moment: Moment) -> FaultyBackend {
        FaultyBackend::new(inner, Some(Fault { call: n, verb: None, moment, for_ever: false }))
    }

    /// Fails the `n`-th call of one verb, the first being 1, and no other.
    pub fn fail_verb(inner: Arc<dyn Backend>, verb: Verb, n: u64, moment: Moment) -> FaultyBackend {
        FaultyBackend::new(inner, Some(Fault { call: n, verb: Some(verb), moment, for_ever: false }))
    }

    fn new(inner: Arc<dyn Backend>, fault: Option<Fault>) -> FaultyBackend {
        let (calls, by_verb) = Default::default();
        let ledger = Ledger { name: inner.name(), calls, by_verb, fault };
        FaultyBackend { inner, ledger: Arc::new(ledger) }
    }

    /// Calls made so far, those after the end among them.
    pub fn calls(&self) -> u64 {
        self.ledger.calls.load(Ordering::SeqCst)
    }

    /// Calls made so far, by verb.
    pub fn counts(&self) -> Counts {
        let count = |verb: Verb| self.ledger.by_verb[verb as usize].load(Ordering::SeqCst);
        Counts {
            put_new: count(Verb::PutNew),
            write: count(Verb::Write),
            finish: count(Verb::Finish),
            get_range: count(Verb::GetRange),
            list_after: count(Verb::ListAfter),
            delete: count(Verb::Delete),
            space: count(Verb::Space),
        }
    }
}

impl Backend for FaultyBackend {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn put_new(&self, key: &str) -> Result<Box<dyn PutNew>> {
        let inner = self.ledger.call(Verb::PutNew, key, || self.inner.put_new(key))?;
        Ok(Box::new(FaultyPut { inner, key: key.into(), ledger: Arc::clone(&self.ledger), torn: false }))
    }

    fn get_range(&self, key: &str, range: ByteRange) -> Result<Vec<u8>> {
        self.ledger.call(Verb::GetRange, key, || self.inner.get_range(key, range))
    }

    fn list_after(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>> {
        self.ledger.call(Verb::ListAfter, prefix, || self.inner.list_after(prefix, after))
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.ledger.call(Verb::Delete, key, || self.inner.delete(key))
    }

    fn space(&self) -> Result<Option<Space>> {
        self.ledger.call(Verb::Space, ".", || self.inner.space())
    }
}

struct FaultyPut {
    inner: Box<dyn PutNew>,
    key: String,
    ledger: Arc<Ledger>,
    /// After a write failed it cannot be finished any more.
    torn: bool,
}

impl PutNew for FaultyPut {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.ledger.call(Verb::Write, &self.key, || self.inner.write(bytes));
        self.torn |= written.is_err();
        written
    }

    fn finish(self: Box<Self>) -> Result<Created> {
        let FaultyPut { inner, key, ledger, torn } = *self;
        assert!(!torn, "an object is finished after a write of it failed");
        ledger.call(Verb::Finish, &key, || inner.finish())
    }
}
