//! Objects in memory: for tests, and for programs that embed the library.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Backend, ByteRange, Created, Listed, PutNew, Space, check_key, too_short};
use crate::error::{Error, Result};

type Objects = RwLock<BTreeMap<String, Arc<[u8]>>>;

/// Objects in memory; they are gone with the last handle on it.
#[derive(Default)]
pub struct MemoryBackend {
    objects: Arc<Objects>,
}

impl Backend for MemoryBackend {
    fn name(&self) -> String {
        "memory".into()
    }

    fn put_new(&self, key: &str) -> Result<Box<dyn PutNew>> {
        check_key(key)?;
        Ok(Box::new(MemoryPut { objects: Arc::clone(&self.objects), key: key.into(), bytes: Vec::new() }))
    }

    fn get_range(&self, key: &str, range: ByteRange) -> Result<Vec<u8>> {
        check_key(key)?;
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let found = objects.get(key).map(Arc::clone);
        drop(objects);
        let Some(bytes) = found else { return Err(Error::ObjectMissing { key: key.into(), backend: self.name() }) };
        match range {
            ByteRange::Whole => Ok(bytes.to_vec()),
            ByteRange::Last { length } => {
                let start = usize::try_from(length).map_or(0, |length| bytes.len().saturating_sub(length));
                Ok(bytes[start..].to_vec())
            }
            ByteRange::At { offset, length } => slice(&bytes, offset, length)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| too_short(&self.name(), key, bytes.len() as u64, offset, length)),
        }
    }

    fn list_after(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>> {
        if !prefix.is_empty() {
            check_key(prefix)?;
        }
        let folder = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let start = match after {
            Some(after) if after >= folder.as_str() => Bound::Excluded(after),
            _ => Bound::Included(folder.as_str()),
        };
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        Ok(objects
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(&folder))
            .map(|(key, bytes)| Listed { key: key.clone(), size_bytes: bytes.len() as u64 })
            .collect())
    }

    fn delete(&self, key: &str) -> Result<()> {
        check_key(key)?;
        self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        Ok(())
    }

    fn space(&self) -> Result<Option<Space>> {
        Ok(None)
    }
}

/// `length` bytes from `offset`, if there are that many.
fn slice(bytes: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(length).ok()?)
}

/// An object on its way into memory.
struct MemoryPut {
    objects: Arc<Objects>,
    key: String,
    bytes: Vec<u8>,
}

impl PutNew for MemoryPut {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Created> {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        match objects.entry(self.key) {
            Entry::Occupied(_) => Ok(Created::AlreadyThere),
            Entry::Vacant(vacant) => {
                vacant.insert(self.bytes.into());
                Ok(Created::New)
            }
        }
    }
}
