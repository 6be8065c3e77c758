//! What followed before.

/// Runs of tokens that are looked for, the longest first: what follows a longer run is surer.
const RUNS: [usize; 3] = [5, 3, 2];

/// What followed the last tokens of `ids` the last time they came, at most `most` tokens; empty if they are new.
pub(super) fn guess(ids: &[u32], most: usize) -> &[u32] {
    RUNS.iter()
        .find_map(|&run| {
            let (before, wanted) = ids.split_at_checked(ids.len().checked_sub(run)?)?;
            // A match may reach into the run itself, as in a text that repeats one token.
            let mut starts = (0..before.len()).rev();
            let start = starts.find(|&start| ids[start..].starts_with(wanted))?;
            let follows = &ids[start + run..];
            Some(&follows[..most.min(follows.len())])
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_latest_run_decides() {
        assert_eq!(guess(&[1, 2, 3, 9, 1, 2, 4, 8, 1, 2], 2), [4, 8]);
        // Three tokens in common go before two.
        let ids = [7, 1, 2, 5, 0, 6, 1, 2, 9, 0, 7, 1, 2];
        assert_eq!(guess(&ids, 3), [5, 0, 6]);
        assert_eq!(guess(&ids, 1), [5]);
    }

    #[test]
    fn a_token_that_repeats_is_guessed_to_go_on() {
        assert_eq!(guess(&[3, 8, 8, 8, 8], 4), [8]);
    }

    #[test]
    fn nothing_follows_what_is_new() {
        assert_eq!(guess(&[1, 2, 3, 4], 4), [0; 0]);
        assert_eq!(guess(&[1], 4), [0; 0]);
        assert_eq!(guess(&[], 4), [0; 0]);
    }
}
