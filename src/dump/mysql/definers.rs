//! DefinerCutter: leaves out of a dump who defines what it makes, so that this is whoever loads it.

use crate::dump::mysql::account::definer;
use crate::dump::mysql::lexer::Sink;
use crate::dump::mysql::rewriter::{Editor, Rewriter};
use crate::dump::mysql::words::{QuoteModes, Words};
use crate::dump::renaming::Edits;

/// Gives out what it takes, without definers.
pub type DefinerCutter = Rewriter<Definers>;

/// Where they stand.
#[derive(Default)]
pub struct Definers(Edits);

impl Editor for Definers {
    fn edits(&mut self) -> &mut Edits {
        &mut self.0
    }
}

impl Sink for Definers {
    fn statement(&mut self, start: u64, text: &[u8], modes: QuoteModes) {
        if Words::new(text, modes).pass("CREATE")
            && let Some((_, place)) = definer(text, modes)
        {
            self.0.push((start + place.start as u64..start + place.end as u64, Vec::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::renaming::Rewrite;

    #[test]
    fn definers_are_left_out_and_all_else_stays() {
        let dump = "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`a`@`%` SQL SECURITY DEFINER */\n\
                    /*!50001 VIEW `v` AS select 'DEFINER=`b`@`%`' AS `definer` */;\nDELIMITER ;;\n\
                    /*!50003 CREATE*/ /*!50017 DEFINER='a'@localhost*/ /*!50003 TRIGGER a BEFORE INSERT ON t FOR EACH ROW BEGIN\n\
                    SET @x = 1; END */;;\nCREATE DEFINER=`a`@`h` PROCEDURE `p`() BEGIN SELECT 1; END;;\nDELIMITER ;\n\
                    INSERT INTO `t` VALUES (1,'\\'; CREATE DEFINER=`a`@`h` PROCEDURE p() SELECT 1;');\n";
        let expected = dump.replacen("DEFINER=`a`@`%` ", " ", 1).replacen("DEFINER='a'@localhost", "", 1).replacen(
            "DEFINER=`a`@`h` PROCEDURE `p`",
            " PROCEDURE `p`",
            1,
        );
        for size in [1, 17, dump.len()] {
            let (mut cutter, mut out) = (Box::<DefinerCutter>::default(), Vec::new());
            dump.as_bytes().chunks(size).for_each(|piece| cutter.push(piece, &mut out).unwrap());
            cutter.finish(&mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "in pieces of {size}");
        }
    }
}
