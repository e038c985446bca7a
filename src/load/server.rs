//! ServerUrl: which server, as a URL tells it: `mysql://user@host:3306/database?socket=/run/mysqld.sock`.

use std::str::FromStr;

use fluent_uri::Uri;
use fluent_uri::pct_enc::{EStr, Encoder};

use crate::error::{Error, Result};

/// A server, and how to reach it. What it does not say, the client's option files may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerUrl {
    pub user: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    /// The database for what names none.
    pub database: Option<String>,
    pub socket: Option<String>,
    /// An option file of the client.
    pub defaults_file: Option<String>,
}

const SCHEMES: [&str; 2] = ["mysql", "mariadb"];

impl FromStr for ServerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<ServerUrl> {
        // The text may hold a password, so that no error shows it.
        let refuse = |reason: &str| Error::invalid("option", "--into", reason);
        let url = Uri::parse(text)
            .map_err(|_| refuse("it is no URL: mysql://USER@HOST:PORT/DATABASE, each part optional"))?;
        if !SCHEMES.contains(&url.scheme().as_str()) {
            return Err(refuse("it begins with none of mysql: and mariadb:, whose dumps can be loaded"));
        }
        let mut server = ServerUrl::default();
        if let Some(authority) = url.authority() {
            if let Some(user) = authority.userinfo() {
                if user.as_str().contains(':') {
                    let reason = "whoever lists processes would see the password in it; leave it out, and put it into \
                                  an option file (~/.my.cnf, or ?defaults-file=PATH) or MYSQL_PWD";
                    return Err(refuse(reason));
                }
                server.user = some(decoded(user)?);
            }
            server.host = some(authority.host().trim_matches(['[', ']']).to_string());
            server.port = authority.port_to_u16().map_err(|_| refuse("its port is no number below 65536"))?;
        }
        server.database = some(decoded(url.path())?.trim_start_matches('/').to_string());
        for option in url.query().into_iter().flat_map(|query| query.split('&')) {
            let (name, value) = option.split_once('=').ok_or_else(|| refuse("an option in it has no value"))?;
            match name.as_str() {
                "socket" => server.socket = some(decoded(value)?),
                "defaults-file" => server.defaults_file = some(decoded(value)?),
                _ => return Err(refuse("it has another option than socket and defaults-file")),
            }
        }
        Ok(server)
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn decoded<E: Encoder>(text: &EStr<E>) -> Result<String> {
    let plain = text.decode().to_string().map_err(|_| Error::invalid("option", "--into", "it is not UTF-8"))?;
    Ok(plain.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_optional_but_a_password_is_refused() {
        let text = "mysql://me%40home@[::1]:3307/sh%20op?socket=/run/a.sock&defaults-file=/etc/my.cnf";
        let expected = ServerUrl {
            user: Some("me@home".into()),
            host: Some("::1".into()),
            port: Some(3307),
            database: Some("sh op".into()),
            socket: Some("/run/a.sock".into()),
            defaults_file: Some("/etc/my.cnf".into()),
        };
        assert_eq!(text.parse::<ServerUrl>().unwrap(), expected);
        assert_eq!("mysql:".parse::<ServerUrl>().unwrap(), ServerUrl::default());
        assert_eq!("mariadb:///shop".parse::<ServerUrl>().unwrap().database.as_deref(), Some("shop"));
        for wrong in ["shop", "http://a", "mysql://h:70000", "mysql://h?ssl=1", "mysql://h?socket", "my sql://"] {
            assert!(wrong.parse::<ServerUrl>().is_err(), "{wrong}");
        }
        let error = "mysql://me:secret@host".parse::<ServerUrl>().unwrap_err().to_string();
        assert!(error.contains("MYSQL_PWD") && !error.contains("secret"), "{error}");
    }
}
