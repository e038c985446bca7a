//! Progress: how far the dumps of one input are from being complete. They may follow one another, and those of a whole server are
//! within its own.

use crate::dump::postgres::ends::EndedIn;
use crate::dump::postgres::facts::DumpEnd;

/// What first and last lines told so far.
#[derive(Default)]
pub struct Progress {
    has_begun: bool,
    /// Its last words are those that end a dump.
    has_ended: bool,
    is_in_cluster: bool,
    /// A dump of one database has begun and not ended.
    is_open: bool,
    /// One of them was not complete when another began.
    was_open: bool,
    /// Where dumps follow one another, a session was led to a database since the last one ended.
    is_led: bool,
    /// What `\restrict` told; `\unrestrict` must tell the same.
    restriction: Option<Vec<u8>>,
}

/// What begins with the first line of a dump.
pub struct Beginning {
    /// It is none of a whole server's, and others came before.
    pub is_another: bool,
    /// The database of the one before is not that of this one.
    pub forgets_database: bool,
}

impl Progress {
    /// The first line of a dump came.
    pub fn begin(&mut self, of_cluster: bool) -> Beginning {
        let is_another = self.has_begun && (of_cluster || !self.is_in_cluster);
        let forgets_database = is_another && (self.is_open || !self.is_led);
        self.was_open |= self.is_open || (of_cluster && self.is_in_cluster);
        (self.has_begun, self.has_ended, self.is_led) = (true, false, false);
        self.is_in_cluster |= of_cluster;
        self.is_open = !of_cluster;
        Beginning { is_another, forgets_database }
    }

    /// The last line of a dump came.
    pub fn end(&mut self, of_cluster: bool) {
        self.was_open |= of_cluster && self.is_open;
        self.has_ended = true;
        self.is_open = false;
        self.is_in_cluster &= !of_cluster;
    }

    /// Something came that is no comment.
    pub fn go_on(&mut self) {
        self.has_ended = false;
    }

    /// `\connect` came.
    pub fn lead(&mut self) {
        self.has_ended = false;
        self.is_led = !self.is_open && !self.is_in_cluster;
    }

    pub fn restrict(&mut self, key: &[u8]) {
        self.was_open |= self.restriction.replace(key.to_vec()).is_some();
    }

    pub fn unrestrict(&mut self, key: &[u8]) {
        self.restriction.take_if(|restriction| restriction == key);
    }

    /// What the end of the input shows of its being whole.
    pub fn finish(&self, ended_in: EndedIn) -> DumpEnd {
        match ended_in {
            EndedIn::Statement => DumpEnd::InStatement,
            EndedIn::Rows => DumpEnd::InRows,
            EndedIn::Nothing if self.was_open => DumpEnd::NoTrailerInside,
            EndedIn::Nothing if self.has_ended && !self.is_in_cluster && self.restriction.is_none() => DumpEnd::Trailer,
            EndedIn::Nothing if !self.has_begun && !self.has_ended => DumpEnd::Unmarked,
            EndedIn::Nothing => DumpEnd::NoTrailer,
        }
    }
}
