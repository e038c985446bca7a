//! The one storage seam: named immutable objects in a place (a directory, memory, later an object store).

mod local;
mod memory;

pub use local::LocalBackend;
pub use memory::MemoryBackend;

use crate::error::{Error, Result};

/// Which bytes of an object to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// All of it.
    Whole,
    /// `length` bytes from `offset`; an object that ends before them is an error, never short data.
    At { offset: u64, length: u64 },
    /// The last `length` bytes; all of it where it is shorter.
    Last { length: u64 },
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    pub size_bytes: u64,
}

/// Room in the place where the objects live, as `statfs` would tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    pub available_bytes: u64,
    /// Files that could still be made there.
    pub available_files: u64,
}

/// What [`PutNew::finish`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is there now, by this call, and survives a crash.
    New,
    /// An object of this key was there before; it is untouched, these bytes are dropped. It survives a crash from now
    /// on, even if whoever made it has not come that far.
    AlreadyThere,
}

/// Where objects live. Keys are relative paths of `[a-z0-9-]` components joined by `/`.
///
/// Every method may be called from any thread, and by any number of processes on one place at once. Objects are
/// written once, whole or not at all, and never change; there is no rename, no append, no overwrite. A key that names
/// an object is not also the folder of others. A malformed key is `Invalid`; a failure of the storage is `Backend`.
pub trait Backend: Send + Sync {
    /// The place, for messages: `"/srv/yester"`.
    fn name(&self) -> String;

    /// Starts a new object. Nothing is visible under `key` before [`PutNew::finish`] returned.
    fn put_new(&self, key: &str) -> Result<Box<dyn PutNew>>;

    /// Bytes of an object.
    ///
    /// # Errors
    /// `ObjectMissing` where there is no such object; `Corrupt` where it is shorter than the range.
    fn get_range(&self, key: &str, range: ByteRange) -> Result<Vec<u8>>;

    /// Objects below the folder `prefix` whose keys are bytewise greater than `after`, in bytewise order of keys.
    /// The empty prefix is the folder of all; `after` may be any text. A folder that does not exist is an empty one, but
    /// one that cannot be read is an error. Reads only the folders that can hold such keys.
    fn list_after(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Listed>>;

    /// Removes an object; one that is not there is no error. A crash may bring it back.
    fn delete(&self, key: &str) -> Result<()>;

    /// Room left, where the place can tell.
    fn space(&self) -> Result<Option<Space>>;
}

/// An object that is being written; dropped without [`PutNew::finish`] it leaves nothing.
pub trait PutNew: Send {
    /// Adds bytes at the end. After an error the object cannot be finished any more.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the object durable and then visible, create-only.
    fn finish(self: Box<Self>) -> Result<Created>;
}

/// Refuses what is not a key, so that none leads out of the place.
fn check_key(key: &str) -> Result<()> {
    if key.split('/').all(is_key_component) {
        return Ok(());
    }
    Err(Error::invalid("object key", key, "expected components of a-z, 0-9 and - with / between them"))
}

/// True for what may stand between the slashes of a key.
fn is_key_component(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// The error for an object that ends before the range that was asked for.
fn too_short(backend: &str, key: &str, size_bytes: u64, offset: u64, length: u64) -> Error {
    let reason = format!("it is {size_bytes} bytes long, but {length} from byte {offset} are expected");
    Error::corrupt(format!("\"{key}\" in {backend}"), reason)
}
