//! The weights of a decoder.

use super::feed_forward::FeedForward;
use super::mixer::{Memory, Mixer};
use super::norm::Norm;
use super::rotation::Rotation;
use crate::arch::{Loader, Spec, Watch};
use crate::causal_lm::Config;
use crate::packed_file::PackedSource;
use crate::residency::{Room, Unit, Window};
use crate::{ModelError, Residency};
use dino_core::{Observe, Storage, Tensor};
use dino_kernels::PackedWeight;
use hashbrown::HashMap;
use std::sync::Arc;

/// A decoder that a [`Spec`] describes.
pub struct Transformer {
    pub(super) spec: Spec,
    pub(super) config: Config,
    pub(super) precise: bool,
    /// Of the matrices that adapters may add to, by name.
    pub(super) linear_shapes: HashMap<String, [usize; 2]>,
    /// Of a model whose layers come and go.
    pub(super) window: Option<Window>,
    /// Mapped files that are read while the model runs.
    pub(super) sources: Vec<Storage>,
    /// The packed file, if weights are pages of it.
    pub(super) packed: Option<PackedSource>,
    /// `[vocabulary, hidden]`, in the file's own layout; `None` where the head serves for it.
    pub(super) embedding: Option<Tensor>,
    /// The embedding of positions, `[context, hidden]`, where the model learned one.
    pub(super) positions: Option<Tensor>,
    pub(super) rotation: Rotation,
    pub(super) layers: Vec<Layer>,
    /// Of what the head reads.
    pub(super) norm: Norm,
    /// `[vocabulary, hidden]`.
    pub(super) head: PackedWeight,
    /// `[vocabulary]`.
    pub(super) head_bias: Option<Vec<f32>>,
    /// Who wants to see what goes into it.
    pub(super) head_watch: Option<Watch>,
    /// Who wants to see the residual stream.
    pub(super) observer: Option<Arc<dyn Observe>>,
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) mixer: Mixer,
    /// `None` where the layer has one part alone.
    pub(super) feed_forward: Option<FeedForward>,
}

impl Transformer {
    /// Reads and packs the weights that `spec` describes, under their GGUF names.
    ///
    /// # Errors
    /// If a tensor is missing or of another shape than the spec needs.
    pub fn load(mut spec: Spec, loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        spec.biases = spec.biases.settled(loader.weights());
        spec.qk_norm = spec.qk_norm.settled(loader.weights());
        let vocabulary = loader.vocabulary(spec.vocabulary)?;
        let shape = [vocabulary, spec.hidden];
        let table = loader.weights().expect("token_embd.weight", &shape)?;
        let positions = match spec.learned_positions {
            true => {
                let shape = [spec.context_length, spec.hidden];
                Some(
                    loader
                        .weights()
                        .expect("position_embd.weight", &shape)?
                        .clone(),
                )
            }
            false => None,
        };
        let rotation = Rotation::load(&spec, loader)?;
        let mut memory = Memory::default();
        loader.take_unit();
        let (mut layers, mut units) = (Vec::new(), Vec::new());
        for index in 0..spec.layers.len() {
            layers.push(Layer::load(&spec, loader, index, &mut memory)?);
            units.push(loader.take_unit());
        }
        let norm = Norm::load(spec.norm, loader, spec.output_norm, spec.hidden)?;
        // Without a head of its own, a model uses the embedding table for it.
        let (head, embedding) = match loader.weights().maybe_expect("output.weight", &shape)? {
            Some(head) => (head, Some(table)),
            None => (table, None),
        };
        let head_bias = loader.bias("output", vocabulary, spec.biases.head)?;
        let (head, head_watch) = (loader.pack(&head)?, loader.watch(head.name()));
        let tables = [&embedding, &positions].into_iter().flatten();
        let mut tables: Vec<_> = tables.map(|table| table.storage().clone()).collect();
        if loader.residency() == Residency::Unpacked {
            tables.extend(files(&units, &head));
        }
        let config = Config {
            vocabulary,
            context_length: spec.longest_context(loader.context_length()),
            hidden: spec.hidden,
            layers: spec.layers.len(),
            attention_layers: memory.attention_layers,
            states: memory.states,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            parameters: loader.weights().infos().map(|info| info.values()).sum(),
        };
        let window = match loader.residency() {
            Residency::Streamed { budget } => {
                let room = Room {
                    budget,
                    fixed: head.byte_size(),
                    cache: cache_bytes(&config, loader, budget),
                };
                let window = Window::new(units, room)?.evicting(loader.evicts());
                Some(window.with_tables(tables.iter().cloned()))
            }
            _ => None,
        };
        Ok(Self {
            sources: tables,
            packed: loader.packed_source(),
            linear_shapes: loader.take_linear_shapes(),
            window,
            spec,
            config,
            precise: loader.precise(),
            embedding,
            positions,
            rotation,
            layers,
            norm,
            head,
            head_bias,
            head_watch,
            observer: loader.observer(),
        })
    }
}

/// One storage of each file that weights are pages of.
fn files(units: &[Unit], head: &PackedWeight) -> Vec<Storage> {
    let weights = units.iter().flat_map(|unit| {
        let experts = unit.experts.iter().flatten();
        unit.always.iter().chain(experts)
    });
    let mut files: Vec<Storage> = Vec::new();
    for weight in weights.chain([head.storage()]) {
        if weight.is_mapped() && files.iter().all(|file| file.path() != weight.path()) {
            files.push(weight.clone());
        }
    }
    files
}

/// What keys and values need of the budget of a streamed model at least, and what they would like: those of a whole context,
/// but no more than their share.
fn cache_bytes(config: &Config, loader: &Loader<'_>, budget: usize) -> [usize; 2] {
    let position = config.kv_layout(loader.kv_types()).bytes_per_position();
    let context = loader.context_length().unwrap_or(config.context_length);
    let wanted = position.saturating_mul(context);
    let least = position.saturating_mul(context.min(Residency::LEAST_CONTEXT));
    [least, wanted.min(Residency::cache_share(budget))]
}

impl Layer {
    fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        index: usize,
        memory: &mut Memory,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            mixer: Mixer::load(spec, loader, index, memory)?,
            feed_forward: FeedForward::load(spec, loader, index)?,
        })
    }
}
