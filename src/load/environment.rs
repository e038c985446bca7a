//! Environment: what programs inherit of the settings of whoever started this one.

use std::path::PathBuf;
use std::process::Command;

/// What leads programs to each other, and to their libraries.
const KEPT: [&str; 2] = ["PATH", "LD_LIBRARY_PATH"];

/// Where the environment of a program comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// The user's.
    OfUser,
    /// One that is made for servers of drills, and for what talks to them: no setting of the user's reaches these, neither as a
    /// variable nor in a file of the home directory, which is this one.
    Scratch(PathBuf),
}

impl Environment {
    /// Gives it to a program; of the user's all but these variables.
    pub fn give_to(&self, command: &mut Command, but: &[&str]) {
        match self {
            Environment::OfUser => but.iter().for_each(|name| {
                command.env_remove(name);
            }),
            Environment::Scratch(home) => {
                command.env_clear().env("HOME", home).env("LC_ALL", "C.UTF-8");
                command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
            }
        }
    }
}
