//! Characters that must not appear in names and messages from outside.

/// Returns whether a character is invisible or changes how its neighbours are rendered.
///
/// These are control characters, line and paragraph separators, bidirectional controls, fillers, tags and
/// other invisible format characters, and noncharacters.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{fffe}'
                | '\u{ffff}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Replaces unprintable characters with escapes, so that they can neither forge nor hide a log line.
pub fn escape_unprintable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fc_17_a_line_of_a_log_can_not_be_forged_or_hidden() {
        let hostile = "a\0b\nc\u{1b}[2Jd\u{202e}e\u{2066}f\u{2028}g";
        let line = escape_unprintable(hostile);
        assert!(!line.chars().any(is_unprintable), "{line}");
        assert_eq!(line, r"a\u{0}b\nc\u{1b}[2Jd\u{202e}e\u{2066}f\u{2028}g");
        for plain in ["비트코인 캐시", "ビットコイン", "币安人生", "ביטקוין", "Bitcoin (BTC) – 1,000.5%", "😀"]
        {
            assert_eq!(escape_unprintable(plain), plain);
        }
    }
}
