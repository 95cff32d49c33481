//! Small shapes of text: spans of time, broken lines.

use std::time::Duration;

/// A span of time, in at most seven columns up to a thousand seconds.
pub(super) fn short(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match seconds {
        ..0.009_99 => format!("{:.2} ms", seconds * 1e3),
        ..0.099_9 => format!("{:.1} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

/// Lines of at most `width` columns; a longer word stands alone.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let len = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if len == 0 => line.push_str(word),
            Some(line) if len + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The longest word that is shown whole: all but keys.
const WORD: usize = 48;

/// The same with long words cut.
pub(super) fn elided(text: &str) -> String {
    let cut = |word: &str| match word.char_indices().nth(WORD) {
        Some(_) => {
            let comma = word.ends_with(',').then_some(',');
            let head = word.chars().take(WORD / 3);
            head.chain(['…']).chain(comma).collect()
        }
        None => word.to_owned(),
    };
    let words: Vec<String> = text.split(' ').map(cut).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_fit_their_column() {
        for (micros, shown) in [
            (0, "0.00 ms"),
            (1_234, "1.23 ms"),
            (9_980, "9.98 ms"),
            (9_999, "10.0 ms"),
            (98_990, "99.0 ms"),
            (100_000, "100 ms"),
            (2_500_000, "2.5 s"),
            (999_900_000, "999.9 s"),
        ] {
            assert_eq!(short(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn keys_are_cut_and_words_are_not() {
        assert_eq!(
            elided("it is connection_refused"),
            "it is connection_refused"
        );
        let key = "ab".repeat(64);
        assert_eq!(
            elided(&format!("{key}, ordinary")),
            "abababababababab…, ordinary"
        );
    }

    #[test]
    fn lines_are_broken_between_words_only() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("immeasurable", 7), ["immeasurable"]);
        assert_eq!(wrapped("", 7), [""]);
    }
}
