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
    /// The same, but that the bytes from 0x80 to 0x9f are control characters.
    WithControls(&'static Encoding),
    /// Letters of two bytes from 0xa1 on, as there, without those of these ranges: larger sets have grown around some.
    Within(&'static Encoding, &'static [[u16; 2]]),
    /// The letters of the last bytes up to 255, with a blank for those that stand for none.
    Page(&'static str),
}

impl Code {
    /// What these bytes stand for, if all do.
    pub fn decoded(self, bytes: &[u8]) -> Option<String> {
        match self {
            Code::Of(encoding) => decoded(encoding, bytes),
            Code::WithControls(encoding) => {
                let letter = |&byte: &u8| match byte {
                    0x80..=0x9f => Some(char::from(byte).to_string()),
                    _ => decoded(encoding, &[byte]),
                };
                bytes.iter().map(letter).collect()
            }
            Code::Within(encoding, without) => is_within(bytes, without).then(|| decoded(encoding, bytes))?,
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
            Code::Of(encoding) => encoded(encoding, text),
            Code::WithControls(encoding) => {
                let bytes = |letter: char| match letter {
                    '\u{80}'..='\u{9f}' => u8::try_from(letter).ok().map(|byte| vec![byte]),
                    _ => {
                        encoded(encoding, letter.encode_utf8(&mut [0; 4])).filter(|it| !matches!(it[..], [0x80..=0x9f]))
                    }
                };
                text.chars().map(bytes).collect::<Option<Vec<_>>>().map(|all| all.concat())
            }
            Code::Within(encoding, without) => encoded(encoding, text).filter(|bytes| is_within(bytes, without)),
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

fn decoded(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    encoding.decode_without_bom_handling_and_without_replacement(bytes).map(|text| text.into_owned())
}

fn encoded(encoding: &'static Encoding, text: &str) -> Option<Vec<u8>> {
    let (bytes, _, has_others) = encoding.encode(text);
    (!has_others).then(|| bytes.into_owned())
}

/// Whether all bytes are ASCII or pairs from 0xa1 on, of none of these ranges.
fn is_within(mut bytes: &[u8], without: &[[u16; 2]]) -> bool {
    loop {
        bytes = match *bytes {
            [] => return true,
            [first, ref rest @ ..] if first.is_ascii() => rest,
            [first @ 0xa1..=0xff, second @ 0xa1..=0xff, ref rest @ ..] => {
                let pair = u16::from_be_bytes([first, second]);
                if without.iter().any(|[from, to]| (*from..=*to).contains(&pair)) {
                    return false;
                }
                rest
            }
            _ => return false,
        }
    }
}

/// What GBK has, and GB 2312 lacks, between its letters.
const OF_GBK_ALONE: &[[u16; 2]] = &[
    [0xa2a1, 0xa2b0],
    [0xa2e3, 0xa2e4],
    [0xa2ef, 0xa2f0],
    [0xa2fd, 0xa2fe],
    [0xa4f4, 0xa4fe],
    [0xa5f7, 0xa5fe],
    [0xa6b9, 0xa6c0],
    [0xa6d9, 0xa6fe],
    [0xa7c2, 0xa7d0],
    [0xa7f2, 0xa7fe],
    [0xa8bb, 0xa8c4],
    [0xa8ea, 0xa8fe],
    [0xa9a1, 0xa9a3],
    [0xa9f0, 0xaffe],
    [0xd7fa, 0xd7fe],
    [0xf8a1, 0xfefe],
];

pub const SJIS_CODE: Code = Code::Of(SHIFT_JIS);
pub const GBK_CODE: Code = Code::Of(GBK);
pub const GB18030_CODE: Code = Code::Of(GB18030);
pub const BIG5_CODE: Code = Code::Of(BIG5);

const fn of(names: &'static [&'static str], encoding: &'static Encoding) -> Set {
    Set { names, code: Code::Of(encoding) }
}

const fn with_controls(names: &'static [&'static str], encoding: &'static Encoding) -> Set {
    Set { names, code: Code::WithControls(encoding) }
}

const fn page(names: &'static [&'static str], page: &'static str) -> Set {
    Set { names, code: Code::Page(page) }
}

/// All but swe7, whose letters stand where ASCII has quotes.
pub static SETS: [Set; 41] = [
    of(&["latin1", "win1252", "windows1252"], WINDOWS_1252),
    of(&["latin2", "iso88592"], ISO_8859_2),
    of(&["latin3", "iso88593"], ISO_8859_3),
    of(&["latin4", "iso88594"], ISO_8859_4),
    with_controls(&["latin5", "iso88599"], WINDOWS_1254),
    of(&["latin6", "iso885910"], ISO_8859_10),
    of(&["latin7", "iso885913"], ISO_8859_13),
    of(&["latin8", "iso885914"], ISO_8859_14),
    of(&["latin9", "iso885915"], ISO_8859_15),
    of(&["latin10", "iso885916"], ISO_8859_16),
    of(&["iso_8859_5"], ISO_8859_5),
    of(&["iso_8859_6"], ISO_8859_6),
    of(&["greek", "iso_8859_7"], ISO_8859_7),
    of(&["hebrew", "iso_8859_8"], ISO_8859_8),
    of(&["cp1250", "win1250", "windows1250"], WINDOWS_1250),
    of(&["cp1251", "win1251", "windows1251", "win"], WINDOWS_1251),
    of(&["win1253", "windows1253"], WINDOWS_1253),
    of(&["win1255", "windows1255"], WINDOWS_1255),
    of(&["cp1256", "win1256", "windows1256"], WINDOWS_1256),
    of(&["cp1257", "win1257", "windows1257"], WINDOWS_1257),
    of(&["win1258", "windows1258", "abc", "tcvn", "tcvn5712", "vscii"], WINDOWS_1258),
    of(&["koi8r", "koi8"], KOI8_R),
    of(&["koi8u"], KOI8_U),
    of(&["cp866", "win866", "windows866", "alt"], IBM866),
    of(&["macroman"], MACINTOSH),
    of(&["tis620", "win874", "windows874"], WINDOWS_874),
    of(&["ujis", "eucjpms", "euc_jp", "euc_jis_2004"], EUC_JP),
    of(&["euckr"], EUC_KR),
    of(&["uhc", "win949", "windows949"], EUC_KR),
    Set { names: &["ks_c_5601"], code: Code::Within(EUC_KR, &[]) },
    Set { names: &["gb2312", "euc_cn"], code: Code::Within(GBK, OF_GBK_ALONE) },
    with_controls(&["iso_8859_1"], WINDOWS_1252),
    of(&["win1254", "windows1254"], WINDOWS_1254),
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
