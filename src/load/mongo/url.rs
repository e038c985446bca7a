//! MongoUrl: which MongoDB, as a URL tells it: `mongodb://user@host:27017,other/?replicaSet=rs0&tls=true`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::load::server::{seen, without_value};

/// Where a password may be instead.
const PASSWORD_PLACE: &str = "MONGODB_PASSWORD, or ?config=FILE, as MongoDB's programs read it (password: ...)";

const PASSWORD_VARIABLE: &str = "MONGODB_PASSWORD";

/// What a URL tells of a MongoDB, whose driver reads URLs itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MongoUrl {
    /// As written, perhaps with percent signs.
    user: Option<String>,
    /// Servers and path.
    place: String,
    options: Vec<String>,
    config: Option<PathBuf>,
}

impl MongoUrl {
    /// One of what stands behind `mongodb://`.
    pub fn parse(text: &str) -> Result<MongoUrl> {
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let authority = place.split('/').next().unwrap_or_default();
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => return Err(seen(PASSWORD_PLACE)),
            Some((user, _)) => (Some(user.to_string()), place[user.len() + 1..].to_string()),
            None => (None, place.to_string()),
        };
        let mut url = MongoUrl { user, place, ..MongoUrl::default() };
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("config", path)) => url.config = Some(path.into()),
                Some((name, _)) if name.to_ascii_lowercase().contains("password") => return Err(seen(PASSWORD_PLACE)),
                Some(_) => url.options.push(option.to_string()),
                None => return Err(without_value(option)),
            }
        }
        Ok(url)
    }

    /// The one server behind a socket, whose name must end with `.sock`.
    pub fn of_socket(path: &Path) -> MongoUrl {
        let place = encoded(path.as_os_str().as_bytes());
        MongoUrl { place, options: vec!["directConnection=true".into()], ..MongoUrl::default() }
    }

    /// For messages.
    pub fn shown(&self) -> String {
        format!("mongodb://{}", self.place)
    }

    /// The database in it, where it does not say which one knows the user.
    pub fn database(&self) -> Option<&str> {
        let (_, database) = self.place.split_once('/')?;
        Some(database).filter(|database| !database.is_empty() && self.user.is_none())
    }

    /// With the password, for the driver.
    pub fn with_password(&self) -> Result<String> {
        let user = match (&self.user, self.password()?) {
            (Some(user), Some(password)) => format!("{user}:{}@", encoded(password.as_bytes())),
            (Some(user), None) => format!("{user}@"),
            (None, _) => String::new(),
        };
        let path = if self.place.contains('/') { "" } else { "/" };
        let query = if self.options.is_empty() { String::new() } else { format!("?{}", self.options.join("&")) };
        Ok(format!("mongodb://{user}{}{path}{query}", self.place))
    }

    fn password(&self) -> Result<Option<String>> {
        let Some(path) = &self.config else { return Ok(std::env::var(PASSWORD_VARIABLE).ok()) };
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Ok(text.lines().find_map(|line| line.strip_prefix("password:")).map(unquoted))
    }
}

/// A word of YAML.
fn unquoted(word: &str) -> String {
    let word = word.trim();
    let inner = |quote: char| word.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(text) = inner('\'') {
        return text.replace("''", "'");
    }
    match inner('"') {
        Some(text) => text.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => word.to_string(),
    }
}

fn encoded(text: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
    text.iter()
        .map(|&byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_come_from_elsewhere() {
        let folder = tempfile::TempDir::new().unwrap();
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, "uri: mongodb://other\npassword: 'a''b/@c'\n").unwrap();
        let url = format!("me%40home@db1:27017,db2/shop?config={}&replicaSet=rs0", config.display());
        let url = MongoUrl::parse(&url).unwrap();
        assert_eq!(url.with_password().unwrap(), "mongodb://me%40home:a%27b%2F%40c@db1:27017,db2/shop?replicaSet=rs0");
        assert_eq!(url.shown(), "mongodb://db1:27017,db2/shop");
        assert_eq!(MongoUrl::parse("db").unwrap().with_password().unwrap(), "mongodb://db/");
        let socket = MongoUrl::of_socket(Path::new("/tmp/a b/s.sock")).with_password().unwrap();
        assert_eq!(socket, "mongodb://%2Ftmp%2Fa%20b%2Fs.sock/?directConnection=true");
        assert_eq!([unquoted(" \"a\\\"\\\\\" "), unquoted(" plain ")], ["a\"\\", "plain"]);
        for secret in ["me:secret@db", "db/?tlsCertificateKeyFilePassword=secret"] {
            let error = MongoUrl::parse(secret).unwrap_err().to_string();
            assert!(error.contains("MONGODB_PASSWORD") && !error.contains("secret"), "{error}");
        }
        assert!(MongoUrl::parse("db/?tls").is_err());
        let missing = MongoUrl::parse("me@db/?config=/no/such/file").unwrap().with_password().unwrap_err().to_string();
        assert!(missing.contains("/no/such/file"), "{missing}");
    }
}
