//! Built-in changes to single logits: bans, biases, penalties.

use super::{SamplingError, SamplingParams, TokenContext};

/// Masks tokens that must not come; ids outside the vocabulary cannot come anyway.
pub(super) fn ban(logits: &mut [f32], ids: &[u32]) {
    for &id in ids {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// Adds `params.logit_bias`.
pub(super) fn bias(logits: &mut [f32], params: &SamplingParams) -> Result<(), SamplingError> {
    let vocabulary = logits.len();
    for (&id, &bias) in &params.logit_bias {
        let logit = logits
            .get_mut(id as usize)
            .ok_or(SamplingError::BiasOutOfVocabulary { id, vocabulary })?;
        *logit += bias;
    }
    Ok(())
}

/// Applies the three penalties to the tokens of the window, and says whether there were any; `recent` is scratch.
pub(super) fn penalise(
    logits: &mut [f32],
    params: &SamplingParams,
    context: &TokenContext<'_>,
    recent: &mut Vec<u32>,
) -> bool {
    let off = params.repetition_penalty == 1.0
        && params.presence_penalty == 0.0
        && params.frequency_penalty == 0.0;
    if off {
        return false;
    }
    let (prompt, generated) = context.last(params.repeat_last_n);
    recent.clear();
    recent.extend_from_slice(prompt);
    recent.extend_from_slice(generated);
    recent.sort_unstable();
    for occurrences in recent.chunk_by(|a, b| a == b) {
        let Some(logit) = logits.get_mut(occurrences[0] as usize) else {
            continue;
        };
        if *logit > 0.0 {
            *logit /= params.repetition_penalty;
        } else {
            *logit *= params.repetition_penalty;
        }
        *logit -= params.presence_penalty + occurrences.len() as f32 * params.frequency_penalty;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_count_inside_the_window() {
        let params = SamplingParams {
            repetition_penalty: 2.0,
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            repeat_last_n: 4,
            ..SamplingParams::default()
        };
        let context = TokenContext {
            prompt: &[0, 1, 9],
            generated: &[2, 1, 1],
        };
        let mut logits = [4.0, 4.0, -1.0, 3.0];
        penalise(&mut logits, &params, &context, &mut Vec::new());
        // The window is 9 2 1 1: token 0 has left it, 9 is outside the vocabulary.
        assert_eq!(logits, [4.0, 4.0 / 2.0 - 0.5 - 0.5, -2.0 - 0.5 - 0.25, 3.0]);
    }

    #[test]
    fn a_masked_token_stays_masked() {
        let params = SamplingParams {
            repetition_penalty: 0.5,
            presence_penalty: -2.0,
            logit_bias: [(0, 100.0)].into(),
            ..SamplingParams::default()
        };
        let context = TokenContext {
            prompt: &[0],
            generated: &[],
        };
        let mut logits = [1.0, 1.0];
        ban(&mut logits, &[0, 77]);
        bias(&mut logits, &params).unwrap();
        penalise(&mut logits, &params, &context, &mut Vec::new());
        assert_eq!(logits, [f32::NEG_INFINITY, 1.0]);
    }

    #[test]
    fn a_bias_outside_the_vocabulary_is_an_error() {
        let params = SamplingParams {
            logit_bias: [(2, 1.0)].into(),
            ..SamplingParams::default()
        };
        assert!(matches!(
            bias(&mut [0.0, 0.0], &params),
            Err(SamplingError::BiasOutOfVocabulary {
                id: 2,
                vocabulary: 2
            })
        ));
    }
}
