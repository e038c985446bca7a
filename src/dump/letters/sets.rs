//! Sets: character sets in which no byte of a letter looks like another character, by the names that servers have for them.

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, IBM866, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6,
    ISO_8859_7, ISO_8859_8, ISO_8859_10, ISO_8859_13, ISO_8859_14, ISO_8859_15, ISO_8859_16, KOI8_R, KOI8_U, MACINTOSH,
    SHIFT_JIS, WINDOWS_874, WINDOWS_1250, WINDOWS_1251, WINDOWS_1252, WINDOWS_1253, WINDOWS_1254, WINDOWS_1255,
    WINDOWS_1256, WINDOWS_1257, WINDOWS_1258,
};

/// A character set. Of ASCII it has all.
#[derive(Debug, PartialEq, Eq)]
pub struct Set {
    /// In lower case; the first is the one that it is known by here.
    pub names: &'static [&'static str],
    pub code: Code,
}

/// Which bytes stand for which letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Of(&'static Encoding),
    /// The letters of the last bytes up to 255, with a blank for those that stand for none.
    Page(&'static str),
}

impl Code {
    /// What these bytes stand for, if all do.
    pub fn decoded(self, bytes: &[u8]) -> Option<String> {
        match self {
            Code::Of(encoding) => {
                encoding.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
            }
            Code::Page(page) => {
                let letter = |&byte: &u8| match byte.is_ascii() {
                    true => Some(char::from(byte)),
                    false => page.chars().rev().nth((u8::MAX - byte).into()).filter(|letter| *letter != ' '),
                };
                bytes.iter().map(letter).collect()
            }
        }
    }

    /// The bytes of a text, if it has no other letters.
    pub fn encoded(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Code::Of(encoding) => {
                let (bytes, _, has_others) = encoding.encode(text);
                (!has_others).then(|| bytes.into_owned())
            }
            Code::Page(page) => {
                let place = |letter: char| page.chars().rev().position(|it| it == letter);
                let byte = |letter: char| match letter.is_ascii() {
                    true => u8::try_from(letter).ok(),
                    false => place(letter).and_then(|place| u8::try_from(place).ok()).map(|place| u8::MAX - place),
                };
                text.chars().map(byte).collect()
            }
        }
    }
}

pub const SJIS_CODE: Code = Code::Of(SHIFT_JIS);
pub const GBK_CODE: Code = Code::Of(GBK);
pub const GB18030_CODE: Code = Code::Of(GB18030);
pub const BIG5_CODE: Code = Code::Of(BIG5);

const fn of(names: &'static [&'static str], encoding: &'static Encoding) -> Set {
    Set { names, code: Code::Of(encoding) }
}

const fn page(names: &'static [&'static str], page: &'static str) -> Set {
    Set { names, code: Code::Page(page) }
}

/// All but swe7, whose letters stand where ASCII has quotes.
pub static SETS: [Set; 38] = [
    of(&["latin1", "win1252"], WINDOWS_1252),
    of(&["latin2"], ISO_8859_2),
    of(&["latin3"], ISO_8859_3),
    of(&["latin4"], ISO_8859_4),
    of(&["latin5", "win1254"], WINDOWS_1254),
    of(&["latin6"], ISO_8859_10),
    of(&["latin7"], ISO_8859_13),
    of(&["latin8"], ISO_8859_14),
    of(&["latin9"], ISO_8859_15),
    of(&["latin10"], ISO_8859_16),
    of(&["iso_8859_5"], ISO_8859_5),
    of(&["iso_8859_6"], ISO_8859_6),
    of(&["greek", "iso_8859_7"], ISO_8859_7),
    of(&["hebrew", "iso_8859_8"], ISO_8859_8),
    of(&["cp1250", "win1250"], WINDOWS_1250),
    of(&["cp1251", "win1251"], WINDOWS_1251),
    of(&["win1253"], WINDOWS_1253),
    of(&["win1255"], WINDOWS_1255),
    of(&["cp1256", "win1256"], WINDOWS_1256),
    of(&["cp1257", "win1257"], WINDOWS_1257),
    of(&["win1258"], WINDOWS_1258),
    of(&["koi8r"], KOI8_R),
    of(&["koi8u"], KOI8_U),
    of(&["cp866", "win866"], IBM866),
    of(&["macroman"], MACINTOSH),
    of(&["tis620", "win874"], WINDOWS_874),
    of(&["ujis", "eucjpms", "euc_jp", "euc_jis_2004"], EUC_JP),
    of(&["euckr", "euc_kr"], EUC_KR),
    of(&["uhc"], EUC_KR),
    of(&["gb2312", "euc_cn"], GBK),
    page(
        &["cp850"],
        "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}",
    ),
    page(
        &["cp852"],
        "ÇüéâäůćçłëŐőîŹÄĆÉĹĺôöĽľŚśÖÜŤťŁ×čáíóúĄąŽžĘę¬źČş«»░▒▓│┤ÁÂĚŞ╣║╗╝Żż┐└┴┬├─┼Ăă╚╔╩╦╠═╬¤đĐĎËďŇÍÎě┘┌█▄ŢŮ▀ÓßÔŃńňŠšŔÚŕŰýÝţ´\u{ad}˝˛ˇ˘§÷¸°¨˙űŘř■\u{a0}",
    ),
    page(
        &["dec8"],
        "\u{a0}¡¢£ ¥ §¤©ª«    °±²³ µ¶· ¹º»¼½ ¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏ ÑÒÓÔÕÖŒØÙÚÛÜŸ ßàáâãäåæçèéêëìíîï ñòóôõöœøùúûüÿ  ",
    ),
    page(
        &["hp8"],
        "\u{a0}ÀÂÈÊËÎÏ´ˋˆ¨˜ÙÛ₤¯Ýý°ÇçÑñ¡¿¤£¥§ƒ¢âêôûáéóúàèòùäëöüÅîØÆåíøæÄìÖÜÉïßÔÁÃãÐðÍÌÓÒÕõŠšÚŸÿÞþ·µ¶¾—¼½ªº«■»± ",
    ),
    page(
        &["keybcs2"],
        "ČüéďäĎŤčěĚĹÍľĺÄÁÉžŽôöÓůÚýÖÜŠĽÝŘťáíóúňŇŮÔšřŕŔ¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
    ),
    page(
        &["macce"],
        "ÄĀāÉĄÖÜáąČäčĆćéŹźĎíďĒēĖóėôöõúĚěü†°Ę£§•¶ß®©™ę¨≠ģĮįĪ≤≥īĶ∂∑łĻļĽľĹĺŅņŃ¬√ńŇ∆«»…\u{a0}ňŐÕőŌ–—“”‘’÷◊ōŔŕŘ‹›řŖŗŠ‚„šŚśÁŤťÍŽžŪÓÔūŮÚůŰűŲųÝýķŻŁżĢˇ",
    ),
    page(
        &["armscii8"],
        "\u{a0}❁§։)(»«—.՝,-՟…՜՛՞ԱաԲբԳգԴդԵեԶզԷէԸըԹթԺժԻիԼլԽխԾծԿկՀհՁձՂղՃճՄմՅյՆնՇշՈոՉչՊպՋջՌռՍսՎվՏտՐրՑցՒւՓփՔքՕօՖֆ’'",
    ),
    page(
        &["geostd8"],
        "€ ‚ „…†‡ ‰ ‹     ‘’“”•–—   ›    \u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿აბგდევზჱთიკლმნჲოპჟრსტჳუფქღყშჩცძწჭხჴჯჰჵ                       №  ",
    ),
];
