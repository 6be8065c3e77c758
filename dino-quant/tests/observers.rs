//! The observers against NumPy (`tools/vectors_observers.py`), which looked at the values themselves, not at a histogram.

use dino_core::{Observe, WeightPlace};
use dino_quant::calibration::{Collector, InputStats, Observer};
use ndarray::ArrayView2;
use serde_json::Value;

/// The generator of the script: sums of twelve uniform numbers.
fn values(case: &Value) -> Vec<f32> {
    let number = |key: &str| case[key].as_u64().unwrap() as usize;
    let mut state = 1_u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let normal = |_| (0..12).fold(0.0, |sum, _| sum + uniform()) - 6.0;
    let mut values: Vec<f32> = (0..number("count")).map(normal).collect();
    let factor = number("factor") as f32;
    values[..number("outliers")]
        .iter_mut()
        .for_each(|x| *x *= factor);
    if case["one_sided"].as_bool().unwrap() {
        values.iter_mut().for_each(|x| *x = x.abs());
    }
    values
}

fn seen(values: &[f32]) -> InputStats {
    let collector = Collector::new().with_histograms();
    let place = WeightPlace {
        name: "a",
        matrix: 0,
        matrices: 1,
    };
    let rows = ArrayView2::from_shape((1, values.len()), values).unwrap();
    collector.linear_input(place, rows);
    collector.calibration().inputs.remove("a").unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|x| x.as_f64().unwrap()).collect()
}

/// What `losses` says of the cut nearest to `cut`, and the least of them.
fn at_cut(case: &Value, losses: &str, cut: f64) -> [f64; 2] {
    let (cuts, losses) = (floats(&case["cuts"]), floats(&case[losses]));
    let distance = |(at, _): &(&f64, &f64)| (*at - cut).abs();
    let pairs = cuts.iter().zip(&losses);
    let nearest = pairs.min_by(|a, b| distance(a).total_cmp(&distance(b)));
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    [*nearest.unwrap().1, least]
}

#[test]
fn ranges_lose_nearly_as_little_as_numpys() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/observers.json")).unwrap();
    let codes = vectors["codes"].as_u64().unwrap() as u32;
    for case in vectors["cases"].as_array().unwrap() {
        let values = values(case);
        let stats = seen(&values);
        let greatest = case["greatest"].as_f64().unwrap();
        let cut = |observer: Observer| {
            let [least, most] = observer.range(&stats, codes).unwrap();
            f64::from(most.max(-least))
        };
        assert!((cut(Observer::MinMax) - greatest).abs() < 1e-6 * greatest);
        let percentile = case["percentile_99"].as_f64().unwrap();
        let found = cut(Observer::Percentile(0.99));
        // A bin is a sixteenth of an octave.
        assert!(
            (percentile..1.07 * percentile).contains(&found),
            "{found}, {percentile}"
        );
        let [found, least] = at_cut(case, "squared_errors", cut(Observer::Mse));
        assert!(found <= 1.15 * least, "mse: {found}, {least}");
        let [found, least] = at_cut(case, "divergences", cut(Observer::Entropy));
        assert!(found <= 1.5 * least + 2e-3, "entropy: {found}, {least}");
    }
}
