//! Where a model can be scaled: inputs whose channels can be divided where they are made.

use dino_models::arch::{FeedForward, Matrices, Mixer, Norms, Spec};
use dino_models::format::ModelFile;

/// Matrices that read one input, and what makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The matrices, by name.
    pub(super) readers: Vec<String>,
    /// The tensor that makes the input, without `.weight`; its bias adds to it.
    pub(super) maker: String,
    /// The first row of the maker, or element of a vector, that makes a channel.
    pub(super) first: usize,
    /// The number of the made channel that each channel of the input is a copy of.
    pub(super) factor_of: Vec<usize>,
    /// Whether nothing but the readers sees the input, which calibration can confirm.
    pub(super) is_norm: bool,
}

impl Group {
    /// How many channels are made.
    pub(super) fn made(&self) -> usize {
        self.factor_of.iter().max().map_or(0, |last| last + 1)
    }
}

/// The groups of a decoder, layer by layer: what reads a norm, what reads the product of gate and up, what reads gathered values.
///
/// A norm's weight makes each of its channels; a row of `up` a channel of the product, which is linear in it; a row of `value` a
/// channel of what is gathered, for all query heads that read its head. Norms that recurrent mixers or experts read are left
/// out.
pub(super) fn groups(file: &ModelFile, spec: &Spec) -> Vec<Group> {
    let mut groups: Vec<Group> = (0..spec.layers.len())
        .flat_map(|layer| of_layer(spec, layer))
        .collect();
    // A head of its own; as the embedding table, its columns are the stream's.
    if file.weights.contains("output.weight") {
        let readers = vec!["output".to_owned()];
        groups.push(behind_norm(spec, spec.output_norm.into(), readers));
    }
    for group in &mut groups {
        for reader in &mut group.readers {
            reader.push_str(".weight");
        }
    }
    groups.retain(|group| fits(file, group));
    groups
}

fn of_layer(spec: &Spec, layer: usize) -> Vec<Group> {
    let name = |part: &str| format!("blk.{layer}.{part}");
    let names = |parts: &[&str]| parts.iter().map(|part| name(part)).collect::<Vec<_>>();
    let kind = &spec.layers[layer];
    let is_fused = spec.matrices == Matrices::Fused;
    let mixer = match kind.mixer {
        Mixer::Attention if is_fused => Some(names(&["attn_qkv"])),
        Mixer::Attention => Some(names(&["attn_q", "attn_k", "attn_v"])),
        _ => None,
    };
    let (feed_forward, product) = match kind.feed_forward {
        FeedForward::Gated { size } if spec.matrices == Matrices::Separate => {
            (Some(names(&["ffn_gate", "ffn_up"])), Some((size, 0)))
        }
        // The gate's rows come first.
        FeedForward::Gated { size } => (Some(names(&["ffn_up"])), Some((size, size))),
        FeedForward::Plain { .. } => (Some(names(&["ffn_up"])), None),
        _ => (None, None),
    };
    let mut groups = Vec::new();
    let has_none = kind.feed_forward == FeedForward::Absent;
    match spec.norms {
        Norms::Post => {}
        Norms::ParallelShared if !has_none => {
            let both = mixer.iter().zip(&feed_forward).next();
            groups.extend(both.map(|(mixer, feed_forward)| {
                let readers = [mixer.as_slice(), feed_forward].concat();
                behind_norm(spec, name("attn_norm"), readers)
            }));
        }
        _ => {
            let behind = |norm, readers: Option<Vec<String>>| {
                readers.map(|readers| behind_norm(spec, name(norm), readers))
            };
            groups.extend(behind("attn_norm", mixer));
            groups.extend(behind(spec.ffn_norm, feed_forward));
        }
    }
    if kind.mixer == Mixer::Attention {
        groups.push(behind_values(spec, name(""), is_fused));
    }
    groups.extend(product.map(|(size, first)| Group {
        readers: names(&["ffn_down"]),
        maker: name("ffn_up"),
        first,
        factor_of: (0..size).collect(),
        is_norm: false,
    }));
    groups
}

fn behind_norm(spec: &Spec, maker: String, readers: Vec<String>) -> Group {
    Group {
        readers,
        maker,
        first: 0,
        factor_of: (0..spec.hidden).collect(),
        is_norm: true,
    }
}

/// What attention gathers is linear in the values, and a gate multiplies it value by value.
fn behind_values(spec: &Spec, layer: String, is_fused: bool) -> Group {
    let (head_dim, sharing) = (spec.head_dim, spec.heads / spec.kv_heads.max(1));
    let value_of = |channel: usize| {
        let head = channel / head_dim / sharing.max(1);
        head * head_dim + channel % head_dim
    };
    let part = if is_fused { "attn_qkv" } else { "attn_v" };
    Group {
        readers: vec![format!("{layer}attn_output")],
        maker: format!("{layer}{part}"),
        first: if is_fused {
            (spec.heads + spec.kv_heads) * head_dim
        } else {
            0
        },
        factor_of: (0..spec.heads * head_dim).map(value_of).collect(),
        is_norm: false,
    }
}

/// Whether the file has these tensors, of these sizes.
fn fits(file: &ModelFile, group: &Group) -> bool {
    let columns = group.factor_of.len();
    let reads = |name: &String| {
        let info = file.weights.info(name);
        info.is_some_and(|info| info.shape.len() == 2 && info.shape[1] == columns)
    };
    let maker = file.weights.info(&format!("{}.weight", group.maker));
    let made = group.first + group.made();
    group.readers.iter().all(reads)
        && maker.is_some_and(|maker| maker.shape.first().is_some_and(|&rows| rows >= made))
}
