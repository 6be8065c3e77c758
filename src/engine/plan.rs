//! How the rows of a step are shared out.

/// The rows that each job gets in a step of about `budget` rows, where `unseen` are the tokens that each has to run,
/// in the order in which the jobs are served.
///
/// 1. A text that goes on has one token to run, and gets it: no text ever waits for a prompt.
/// 2. Prompts get what is left, and at least a quarter of the budget, so that they move on beside many texts. Half of
///    that goes to the prompt that was there first, so that none starves.
/// 3. The rest goes to the prompts with least left, so that a short one does not wait for a long one before it.
pub(super) fn share(unseen: &[usize], budget: usize) -> Vec<usize> {
    let mut rows: Vec<usize> = unseen.iter().map(|&tokens| tokens.min(1)).collect();
    let mut prompts: Vec<usize> = (0..unseen.len()).filter(|&job| unseen[job] > 1).collect();
    let texts = unseen.len() - prompts.len();
    let mut room = budget.saturating_sub(texts).max(budget.div_ceil(4));
    for &job in &prompts {
        rows[job] = 0;
    }
    let mut give = |job: usize, most: usize, room: &mut usize| {
        let given = (unseen[job] - rows[job]).min(most).min(*room);
        rows[job] += given;
        *room -= given;
    };
    if let Some(&first) = prompts.first() {
        give(first, room.div_ceil(2), &mut room);
    }
    prompts.sort_by_key(|&job| unseen[job]);
    for job in prompts {
        give(job, usize::MAX, &mut room);
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_come_first_and_a_lone_prompt_gets_all_the_rest() {
        assert_eq!(share(&[1, 500, 1], 128), [1, 126, 1]);
        assert_eq!(share(&[1, 5, 1], 128), [1, 5, 1]);
        assert_eq!(share(&[1, 1, 1], 2), [1, 1, 1]);
        assert_eq!(share(&[], 128), [0; 0]);
    }

    #[test]
    fn a_short_prompt_overtakes_but_the_first_keeps_half() {
        assert_eq!(share(&[4000, 30], 128), [98, 30]);
        assert_eq!(share(&[4000, 2000, 300], 128), [64, 0, 64]);
    }

    #[test]
    fn prompts_move_on_beside_many_texts() {
        let mut unseen = vec![1; 40];
        unseen.push(1000);
        assert_eq!(share(&unseen, 32)[40], 8);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_there_is(unseen in prop::collection::vec(1usize..300, 0..20), budget in 1usize..200) {
            let rows = share(&unseen, budget);
            prop_assert!(rows.iter().zip(&unseen).all(|(given, has)| given <= has));
            let texts = unseen.iter().filter(|&&tokens| tokens == 1).count();
            let prompts = rows.iter().sum::<usize>() - texts;
            let room = budget.saturating_sub(texts).max(budget.div_ceil(4));
            let left: usize = unseen.iter().filter(|&&tokens| tokens > 1).sum();
            prop_assert_eq!(prompts, left.min(room), "no row is wasted");
        }
    }
}
