//! Stop strings in a stream of text.

/// Finds the first of several strings in text that arrives in pieces.
///
/// Text is held back only while it may still grow into a stop string, so at most the longest one less a byte.
///
/// ```
/// use dino_llm::StopMatcher;
///
/// let mut matcher = StopMatcher::new(&["</answer>".to_string()]);
/// assert_eq!(matcher.push("42 </ans"), "42 ");
/// assert_eq!(matcher.push("wer> and so on"), "");
/// assert_eq!(matcher.stopped_at(), Some(0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopMatcher {
    stops: Vec<String>,
    held: String,
    stopped_at: Option<usize>,
}

impl StopMatcher {
    /// Looks for `stops`, which are not empty ([`SamplingParams::validate`](crate::SamplingParams::validate)).
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.to_vec(),
            ..Self::default()
        }
    }

    /// Takes the next piece and gives the text that may be shown now.
    ///
    /// The match that completes first ends the text, of two that end together the longer; it does not depend on where
    /// pieces begin and end. Once [`Self::stopped_at`] says so, nothing more comes out.
    pub fn push(&mut self, piece: &str) -> String {
        if self.stopped_at.is_some() {
            return String::new();
        }
        self.held.push_str(piece);
        let matches = self.stops.iter().enumerate().filter_map(|(index, stop)| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start, index))
        });
        if let Some((_, start, index)) = matches.min() {
            self.stopped_at = Some(index);
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let open = self.held.split_off(self.first_open());
        std::mem::replace(&mut self.held, open)
    }

    /// Gives what was held back, at the end of the text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Which of the stop strings ended the text, by its place in the list.
    pub fn stopped_at(&self) -> Option<usize> {
        self.stopped_at
    }

    /// Where the held text begins that may still become a stop string.
    fn first_open(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let earliest = (self.held.len() + 1).saturating_sub(longest);
        (earliest..self.held.len())
            .filter(|&at| self.held.is_char_boundary(at))
            .find(|&at| {
                let tail = &self.held[at..];
                self.stops
                    .iter()
                    .any(|stop| stop.len() > tail.len() && stop.starts_with(tail))
            })
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text before the first match to complete, and which it is; found in the whole text at once.
    fn naive(text: &str, stops: &[String]) -> (String, Option<usize>) {
        let ends = (0..=text.len()).filter(|&end| text.is_char_boundary(end));
        for end in ends {
            let matching = stops
                .iter()
                .enumerate()
                .filter(|(_, stop)| text[..end].ends_with(stop.as_str()));
            let longest =
                matching.max_by_key(|(index, stop)| (stop.len(), std::cmp::Reverse(*index)));
            if let Some((index, stop)) = longest {
                return (text[..end - stop.len()].to_string(), Some(index));
            }
        }
        (text.to_string(), None)
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            pieces in prop::collection::vec("[abé]{0,4}", 0..12),
            stops in prop::collection::vec("[abé]{1,5}", 0..4),
        ) {
            let (expected, expected_stop) = naive(&pieces.concat(), &stops);
            let mut matcher = StopMatcher::new(&stops);
            let mut shown = String::new();
            for piece in &pieces {
                shown.push_str(&matcher.push(piece));
            }
            shown.push_str(&matcher.finish());
            prop_assert_eq!(shown, expected);
            prop_assert_eq!(matcher.stopped_at(), expected_stop);
        }

        #[test]
        fn only_what_may_become_a_stop_is_held(text in "[abé]{0,20}", stops in prop::collection::vec("[abé]{1,5}", 1..4)) {
            let mut matcher = StopMatcher::new(&stops);
            matcher.push(&text);
            let held = matcher.finish();
            let open = |stop: &String| stop.starts_with(&held) && stop.len() > held.len();
            prop_assert!(held.is_empty() || stops.iter().any(open), "{held:?} is held for {stops:?}");
        }
    }
}
