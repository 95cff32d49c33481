//! Small shapes of text: spans of time, little pictures, broken lines.

use std::collections::VecDeque;
use std::time::Duration;

/// The most round trips in one little picture.
const SPARKS: usize = 8;

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

/// The latest round trips as a small picture, scaled to the longest of them.
pub(super) fn sparks(recent: &VecDeque<Duration>) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let latest = || recent.iter().skip(recent.len().saturating_sub(SPARKS));
    let most = latest().max().map_or(1, |most| most.as_nanos().max(1));
    let level = |rtt: &Duration| {
        let eighth = usize::try_from(rtt.as_nanos() * 7 / most).unwrap_or_default();
        LEVELS[eighth.min(7)]
    };
    latest().map(level).collect()
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
    fn the_picture_shows_the_latest_and_scales_to_the_longest() {
        assert_eq!(sparks(&VecDeque::new()), "");
        assert_eq!(sparks(&[Duration::ZERO].into()), "▁");
        let many: VecDeque<_> = (0..=100).map(Duration::from_millis).collect();
        let picture = sparks(&many);
        assert_eq!(picture.chars().count(), SPARKS);
        assert!(picture.ends_with('█'), "{picture}");
    }

    #[test]
    fn lines_are_broken_between_words_only() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("immeasurable", 7), ["immeasurable"]);
        assert_eq!(wrapped("", 7), [""]);
    }
}
