//! The settings that enclose a text that was put together of files.

use crate::dump::mysql::modes::ModeTracker;
use crate::dump::mysql::words::QuoteModes;

/// What comes before all files, of which one begins so: what is needed to load them in any order, and the character set and the time
/// zone that the rows are in, as that file sets them.
pub fn header(title: &str, first: &[u8]) -> Vec<u8> {
    let title = format!("-- {title}\n");
    [title.as_bytes(), SAVING.as_bytes(), &told_settings(first), SETTING.as_bytes()].concat()
}

/// How the lines begin that tell these.
const TOLD: [&[u8]; 3] = [b"/*!40101 SET NAMES ", b"/*!50503 SET NAMES ", b"/*!40103 SET TIME_ZONE='"];

/// The lines of a file that tell these.
pub fn told_settings(first: &[u8]) -> Vec<u8> {
    let is_told = |line: &&[u8]| TOLD.iter().any(|told| line.starts_with(told));
    first.split_inclusive(|&byte| byte == b'\n').filter(is_told).collect::<Vec<_>>().concat()
}

/// How text is read behind such lines.
pub fn modes_behind(settings: &[u8]) -> QuoteModes {
    let mut modes = ModeTracker::default();
    settings.split(|&byte| byte == b'\n').for_each(|line| modes.follow(line));
    modes.present()
}

const SAVING: &str = "\
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET @OLD_CHARACTER_SET_RESULTS=@@CHARACTER_SET_RESULTS */;
/*!40101 SET @OLD_COLLATION_CONNECTION=@@COLLATION_CONNECTION */;
/*!40103 SET @OLD_TIME_ZONE=@@TIME_ZONE */;
";

const SETTING: &str = "\
/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;
/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;
";

/// Behind all files: all that as it was.
pub const FOOTER: &str = "\
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;
/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */;
/*!40014 SET UNIQUE_CHECKS=@OLD_UNIQUE_CHECKS */;
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;
/*!40101 SET CHARACTER_SET_RESULTS=@OLD_CHARACTER_SET_RESULTS */;
/*!40101 SET COLLATION_CONNECTION=@OLD_COLLATION_CONNECTION */;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;
";
