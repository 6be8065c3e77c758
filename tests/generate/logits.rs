//! The forward pass against transformers.

use dino_llm::{Generator, KvType, Model};

use crate::common::{goldens, nmse};

#[test]
fn f32_activations_agree_with_transformers() {
    for golden in goldens() {
        let model = golden.load(Model::builder().precise(true).kv_cache_type(KvType::F32));
        let logits = Generator::new(&model).logits(&golden.ids).unwrap();
        assert_eq!(logits.dim(), (golden.ids.len(), golden.vocabulary));
        let error = nmse(logits.as_slice().unwrap(), &golden.logits());
        assert!(error < 1e-9, "{}: NMSE {error:e}", golden.name);
    }
}

/// Rounding to 8 bits gives a relative error of about 1/127/√12 a value (2e-6 squared); four layers of sums of random
/// signs, norms and attention carry it on.
#[test]
fn int8_activations_stay_near_transformers() {
    for golden in goldens() {
        let model = golden.load(Model::builder());
        let logits = Generator::new(&model).logits(&golden.ids).unwrap();
        let error = nmse(logits.as_slice().unwrap(), &golden.logits());
        assert!(error < 1e-3, "{}: NMSE {error:e}", golden.name);
        println!("{}: NMSE {error:e}", golden.name);
    }
}
