//! Levels: what libzstd searches with, at each of its levels that is predicted.

use crate::compressed::sequences::predictor::{Search, WINDOW_MAX_BYTES, WINDOW_MIN_BYTES, Way};

/// A level for contents of some size: the logarithms of its window and its tables, and the rest of its search.
struct Level {
    window_log: u8,
    logs: [u8; 2],
    tried_log: u8,
    hashed_bytes: u8,
    step: u8,
    way: Way,
}

const fn level(window_log: u8, logs: [u8; 2], [tried_log, hashed_bytes, step]: [u8; 3], way: Way) -> Level {
    Level { window_log, logs, tried_log, hashed_bytes, step, way }
}

const GREEDY: Way = Way::Rows { ahead: 0 };
const LAZY: Way = Way::Rows { ahead: 1 };
const LAZY2: Way = Way::Rows { ahead: 2 };

/// Of contents of more than 256 KiB, or of unknown length. In rows the second table is none.
const LARGE: &[Level] = &[
    level(19, [13, 12], [1, 6, 1], Way::Fast),
    level(19, [14, 13], [1, 7, 0], Way::Fast),
    level(20, [16, 15], [1, 6, 0], Way::Fast),
    level(21, [17, 16], [1, 5, 0], Way::Double),
    level(21, [18, 18], [1, 5, 0], Way::Double),
    level(21, [19, 18], [3, 5, 0], GREEDY),
    level(21, [19, 18], [3, 5, 0], LAZY),
    level(21, [20, 19], [4, 5, 0], LAZY),
    level(21, [20, 19], [4, 5, 0], LAZY2),
    level(22, [21, 20], [4, 5, 0], LAZY2),
    level(22, [22, 21], [5, 5, 0], LAZY2),
    level(22, [22, 21], [6, 5, 0], LAZY2),
];

/// Of at most 256 KiB.
const SMALL: &[Level] = &[
    level(18, [14, 13], [1, 6, 0], Way::Fast),
    level(18, [14, 14], [1, 5, 0], Way::Double),
    level(18, [16, 16], [1, 4, 0], Way::Double),
    level(18, [17, 16], [3, 5, 0], GREEDY),
    level(18, [18, 17], [5, 5, 0], GREEDY),
    level(18, [19, 18], [3, 5, 0], LAZY),
    level(18, [19, 18], [4, 4, 0], LAZY),
    level(18, [19, 18], [4, 4, 0], LAZY2),
    level(18, [19, 18], [6, 4, 0], LAZY2),
];

/// Of at most 128 KiB.
const SMALLER: &[Level] = &[
    level(17, [13, 12], [1, 6, 0], Way::Fast),
    level(17, [15, 13], [1, 5, 0], Way::Fast),
    level(17, [16, 15], [1, 5, 0], Way::Double),
    level(17, [17, 17], [1, 4, 0], Way::Double),
    level(17, [17, 16], [3, 4, 0], GREEDY),
    level(17, [17, 16], [3, 4, 0], LAZY),
    level(17, [17, 16], [4, 4, 0], LAZY2),
    level(17, [17, 16], [6, 4, 0], LAZY2),
];

/// Logarithm of the shortest window.
const WINDOW_LOG_MIN: u8 = WINDOW_MIN_BYTES.ilog2() as u8;

/// What a frame may have been searched with that has this window, and content of this length, where that is told.
pub fn searches(window_bytes: u64, content: Option<u64>) -> Vec<Search> {
    let levels = match content {
        Some(..=0x20000) => SMALLER,
        Some(..=0x40000) => SMALL,
        _ => LARGE,
    };
    let all: Vec<Search> = levels.iter().flat_map(|level| level.searches(content)).collect();
    let fitting: Vec<Search> = all.iter().filter(|search| search.window_bytes == window_bytes).copied().collect();
    // Whose window was chosen, or is the whole content.
    let is_whole = content.is_some_and(|content| content == window_bytes);
    let chosen = |search| Search { window_bytes: window_bytes.min(WINDOW_MAX_BYTES), ..search };
    let wider = |search: Search| Search { window_bytes: search.window_bytes.max(window_bytes), ..search };
    match fitting.is_empty() {
        true if is_whole => all.into_iter().map(wider).collect(),
        true => all.into_iter().map(chosen).collect(),
        false => fitting,
    }
}

impl Level {
    /// Its searches, of older and of newer versions.
    fn searches(&self, content: Option<u64>) -> impl Iterator<Item = Search> {
        let content_log = content.and_then(|content| content.max(2).checked_next_power_of_two());
        let content_log = content_log.map_or(u8::MAX, |content| content.ilog2() as u8);
        let window_log = self.window_log.min(content_log).max(WINDOW_LOG_MIN);
        let logs = [self.logs[0].min(window_log + 1), self.logs[1].min(window_log + 1)];
        let versions: &[bool] = if self.way == Way::Fast { &[false] } else { &[false, true] };
        versions.iter().map(move |&is_new| Search {
            way: self.way,
            is_new,
            window_bytes: 1 << window_log,
            logs,
            tried_log: self.tried_log,
            hashed_bytes: self.hashed_bytes,
            step: self.step,
        })
    }
}
