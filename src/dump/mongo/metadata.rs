//! Metadata: what the files beside the documents say, which are JSON.

use serde_json::Value;

/// What is read of a `metadata.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Of the collection; old programs did not say.
    pub name: Option<String>,
    /// `collection`, `view` or `timeseries`; old programs did not say.
    pub kind: Option<String>,
}

impl Metadata {
    /// `None` where it is no JSON object.
    pub fn read(json: &[u8]) -> Option<Metadata> {
        let value = object(json)?;
        let is_view = value.get("options").is_some_and(|options| options.get("viewOn").is_some());
        let implied = is_view.then(|| crate::dump::mongo::VIEW.to_string());
        Some(Metadata { name: text(&value, "collectionName"), kind: text(&value, "type").or(implied) })
    }
}

/// What a dump's `prelude.json` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prelude {
    pub server_version: Option<String>,
    pub tool_version: Option<String>,
}

impl Prelude {
    /// `None` where it is no JSON object.
    pub fn read(json: &[u8]) -> Option<Prelude> {
        let value = object(json)?;
        Some(Prelude { server_version: text(&value, "ServerVersion"), tool_version: text(&value, "ToolVersion") })
    }

    /// The same as a file.
    pub fn to_json(&self) -> Vec<u8> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let value = serde_json::json!({
            "ServerVersion": text(&self.server_version), "ToolVersion": text(&self.tool_version)
        });
        value.to_string().into_bytes()
    }
}

fn object(json: &[u8]) -> Option<Value> {
    serde_json::from_slice(json).ok().filter(Value::is_object)
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_is_read() {
        let kind = |json: &str| Metadata::read(json.as_bytes()).map(|metadata| metadata.kind);
        assert_eq!(kind(r#"{"indexes":[],"type":"timeseries"}"#), Some(Some("timeseries".into())));
        assert_eq!(kind(r#"{"options":{"viewOn":"orders"},"indexes":[]}"#), Some(Some("view".into())));
        assert_eq!((kind(r#"{"indexes":[]}"#), kind("[]"), kind(r#"{"type":"#)), (Some(None), None, None));
        let text = br#"{"ServerVersion":"8.2.11","ToolVersion":"100.18.0"}"#;
        assert_eq!(Prelude::read(text).unwrap().to_json(), text);
    }
}
