//! BSON as far as dumps need it that are made here (bsonspec.org, version 1.1).

pub fn element(kind: u8, name: &str, value: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), b"\0", value].concat()
}

pub fn text(name: &str, value: &str) -> Vec<u8> {
    element(2, name, &[&(value.len() as u32 + 1).to_le_bytes(), value.as_bytes(), b"\0"].concat())
}

pub fn number(name: &str, value: u64) -> Vec<u8> {
    element(18, name, &value.to_le_bytes())
}

pub fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let elements = elements.concat();
    [&(elements.len() as u32 + 5).to_le_bytes()[..], &elements, b"\0"].concat()
}
