//! Inputs: what a dump was put together of, as `_meta/inputs` tells.

use serde_json::Value;

use crate::error::{Error, Result};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpInput {
    pub name: String,
    /// Where it begins in the dump.
    pub start: u64,
}

/// Those that these lines tell of.
pub fn inputs_in(lines: &[u8]) -> Result<Vec<DumpInput>> {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| input_in(line).ok_or_else(|| Error::corrupt("_meta/inputs", "a line tells of no input"))).collect()
}

fn input_in(line: &[u8]) -> Option<DumpInput> {
    let told: Value = serde_json::from_slice(line).ok()?;
    Some(DumpInput { name: told.get("name")?.as_str()?.to_string(), start: told.get("start")?.as_u64()? })
}
