//! ServerUrl: which server, as a URL tells it: `mysql://user@host:3306/database?socket=/run/mysqld.sock`,
//! `postgres://user@host:5432/database`.

use std::str::FromStr;

use fluent_uri::Uri;
use fluent_uri::pct_enc::{EStr, Encoder};

use crate::error::{Error, Result};
use crate::load::mongo::MongoUrl;

/// A server, and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerUrl {
    Mysql(MysqlUrl),
    Postgres(PostgresUrl),
    Mongo(MongoUrl),
}

/// What a URL tells of a MySQL or MariaDB. What it does not say, the client's option files may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MysqlUrl {
    pub user: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    /// The database for what names none.
    pub database: Option<String>,
    pub socket: Option<String>,
    /// An option file of the client.
    pub defaults_file: Option<String>,
}

/// What a URL tells of a PostgreSQL, whose client reads URLs itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The database for what names none.
    pub database: Option<String>,
    /// Whether it says where the server is; else the client's own settings do.
    pub is_named: bool,
    authority: String,
    query: String,
}

/// The text may hold a password, so that no error shows it.
pub(super) fn refuse(reason: &str) -> Error {
    Error::invalid("option", "--into", reason)
}

impl FromStr for ServerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<ServerUrl> {
        if let Some(behind) = text.strip_prefix("mongodb://") {
            // Several servers may be named, which other URLs cannot.
            return MongoUrl::parse(behind).map(ServerUrl::Mongo);
        }
        if text.starts_with("mongodb+srv:") {
            return Err(refuse(
                "no names of servers are looked up for it: mongodb://HOST,HOST/?replicaSet=NAME&tls=true",
            ));
        }
        let url = Uri::parse(text);
        let url = url.map_err(|_| refuse("it is no URL: mysql://USER@HOST:PORT/DATABASE, each part optional"))?;
        match url.scheme().as_str() {
            "mysql" | "mariadb" => mysql(&url).map(ServerUrl::Mysql),
            "postgres" | "postgresql" => postgres(&url).map(ServerUrl::Postgres),
            _ => Err(refuse(
                "it begins with none of mysql:, mariadb:, postgres: and mongodb:, whose dumps can be loaded",
            )),
        }
    }
}

fn mysql(url: &Uri<&str>) -> Result<MysqlUrl> {
    let mut server = MysqlUrl { database: database(url)?, ..MysqlUrl::default() };
    if let Some(authority) = url.authority() {
        refuse_password(url, "an option file (~/.my.cnf, or ?defaults-file=PATH) or MYSQL_PWD")?;
        server.user = authority.userinfo().map(decoded).transpose()?;
        server.host = some(authority.host().trim_matches(['[', ']']).to_string());
        server.port = authority.port_to_u16().map_err(|_| refuse("its port is no number below 65536"))?;
    }
    for (name, value) in options(url)? {
        match name.as_str() {
            "socket" => server.socket = some(value),
            "defaults-file" => server.defaults_file = some(value),
            _ => return Err(refuse(&format!("\"{name}\" is none of its options, which are socket and defaults-file"))),
        }
    }
    Ok(server)
}

fn postgres(url: &Uri<&str>) -> Result<PostgresUrl> {
    let place = "~/.pgpass or PGPASSWORD";
    refuse_password(url, place)?;
    let options = options(url)?;
    if options.iter().any(|(name, _)| name == "password") {
        return Err(seen(place));
    }
    let has_host = url.authority().is_some_and(|authority| !authority.host().is_empty());
    Ok(PostgresUrl {
        database: database(url)?,
        is_named: has_host || options.iter().any(|(name, _)| ["host", "hostaddr", "service"].contains(&&**name)),
        authority: url.authority().map(|authority| authority.as_str().to_string()).unwrap_or_default(),
        query: url.query().map(|query| query.as_str().to_string()).unwrap_or_default(),
    })
}

impl PostgresUrl {
    /// The URL of a database.
    pub fn of(&self, database: &str) -> String {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let encoded: String = database
            .bytes()
            .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect();
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        format!("postgresql://{}/{encoded}{query}", self.authority)
    }
}

fn refuse_password(url: &Uri<&str>, place: &str) -> Result<()> {
    let user = url.authority().and_then(|authority| authority.userinfo());
    if user.is_some_and(|user| user.as_str().contains(':')) { Err(seen(place)) } else { Ok(()) }
}

pub(super) fn seen(place: &str) -> Error {
    refuse(&format!("whoever lists processes would see the password in it; leave it out, and put it into {place}"))
}

fn database(url: &Uri<&str>) -> Result<Option<String>> {
    Ok(some(decoded(url.path())?.trim_start_matches('/').to_string()))
}

fn options(url: &Uri<&str>) -> Result<Vec<(String, String)>> {
    let all = url.query().into_iter().flat_map(|query| query.split('&'));
    all.map(|option| {
        let (name, value) = option.split_once('=').ok_or_else(|| without_value(option.as_str()))?;
        Ok((decoded(name)?, decoded(value)?))
    })
    .collect()
}

pub(super) fn without_value(option: &str) -> Error {
    refuse(&format!("its option \"{option}\" has no value"))
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn decoded<E: Encoder>(text: &EStr<E>) -> Result<String> {
    let plain = text.decode().to_string().map_err(|_| refuse("it is not UTF-8"))?;
    Ok(plain.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_optional_but_a_password_is_refused() {
        let text = "mysql://me%40home@[::1]:3307/sh%20op?socket=/run/a.sock&defaults-file=/etc/my.cnf";
        let expected = MysqlUrl {
            user: Some("me@home".into()),
            host: Some("::1".into()),
            port: Some(3307),
            database: Some("sh op".into()),
            socket: Some("/run/a.sock".into()),
            defaults_file: Some("/etc/my.cnf".into()),
        };
        assert_eq!(text.parse::<ServerUrl>().unwrap(), ServerUrl::Mysql(expected));
        assert_eq!("mysql:".parse::<ServerUrl>().unwrap(), ServerUrl::Mysql(MysqlUrl::default()));
        for wrong in ["shop", "http://a", "mysql://h:70000", "mysql://h?ssl=1", "mysql://h?socket", "my sql://"] {
            assert!(wrong.parse::<ServerUrl>().is_err(), "{wrong}");
        }
        let error = "mysql://h?socket=/a&sock".parse::<ServerUrl>().unwrap_err().to_string();
        assert!(error.ends_with("its option \"sock\" has no value"), "{error}");
        for secret in ["mysql://me:secret@host", "postgres://me:secret@host", "postgres:///a?password=secret"] {
            let error = secret.parse::<ServerUrl>().unwrap_err().to_string();
            assert!(error.contains("P") && error.contains("password in it") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_url_of_another_database_differs_in_nothing_else() {
        let server = "postgres://me@db:5433/shop?host=/run/x&sslmode=require".parse::<ServerUrl>().unwrap();
        let ServerUrl::Postgres(server) = server else { panic!("{server:?}") };
        assert_eq!(server.database.as_deref(), Some("shop"));
        assert_eq!(server.of("a b/c"), "postgresql://me@db:5433/a%20b%2Fc?host=/run/x&sslmode=require");
        assert_eq!(PostgresUrl::default().of("x"), "postgresql:///x");
    }
}
