//! Whether guessing pays.

/// How fast old guesses are forgotten.
const MEMORY: f64 = 0.9;
/// Steps without a guess after the first that did not pay; doubled each time.
const FIRST_PAUSE: u32 = 8;
const LONGEST_PAUSE: u32 = 256;

/// Counts how often guesses are right, and gives up for a while where they do not pay.
#[derive(Debug)]
pub(super) struct Patience {
    /// Tokens that were right, and all that were judged, old ones counting less. (After the first wrong one the others
    /// are not judged.)
    right: f64,
    judged: f64,
    pause: u32,
    /// Steps until the next try.
    rest: u32,
}

impl Default for Patience {
    fn default() -> Self {
        // As if two of three had been right, so that it begins by trying.
        Self {
            right: 2.0,
            judged: 3.0,
            pause: FIRST_PAUSE,
            rest: 0,
        }
    }
}

impl Patience {
    /// How many tokens it pays to guess where each costs `price` of what a token costs without guessing: the `k`-th is
    /// drawn with the chance of the first to the power of `k`.
    pub(super) fn worth(&mut self, price: f64) -> usize {
        if self.rest > 0 {
            self.rest -= 1;
            return 0;
        }
        let chance = self.right / self.judged;
        let tokens = if price <= 0.0 || chance >= 1.0 {
            f64::INFINITY
        } else {
            price.ln() / chance.ln()
        };
        if price < 1.0 && tokens >= 1.0 {
            return tokens.min(64.0) as usize;
        }
        self.rest = self.pause;
        self.pause = (2 * self.pause).min(LONGEST_PAUSE);
        // When it has rested it tries again, with an open mind.
        (self.right, self.judged) = (1.0, 1.5);
        0
    }

    pub(super) fn learn(&mut self, guessed: usize, right: usize) {
        let wrong = usize::from(right < guessed);
        self.right = MEMORY * self.right + right as f64;
        self.judged = MEMORY * self.judged + (right + wrong) as f64;
        if right > 1 {
            self.pause = FIRST_PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_guesses_become_longer_and_bad_ones_stop() {
        let mut patience = Patience::default();
        let first = patience.worth(0.2);
        assert!((1..6).contains(&first));
        (0..10).for_each(|_| patience.learn(4, 4));
        assert!(patience.worth(0.2) > 2 * first);

        let mut patience = Patience::default();
        let mut tried = 0;
        for _ in 0..10_000 {
            let guessed = patience.worth(0.2);
            if guessed > 0 {
                tried += 1;
                patience.learn(guessed, 0);
            }
        }
        assert!((10..300).contains(&tried), "{tried} of 10000 steps");
    }

    #[test]
    fn nothing_is_guessed_where_a_guess_costs_as_much_as_a_token() {
        let mut patience = Patience::default();
        assert_eq!((0..100).map(|_| patience.worth(1.2)).sum::<usize>(), 0);
    }
}
