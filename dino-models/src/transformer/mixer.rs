//! How the tokens of a layer learn of those before them: attention, or one of the recurrent kinds.

use super::attention::Attention;
use super::buffers::Buffers;
use super::forward::Pass;
use super::gated_delta::GatedDelta;
use super::norm::PartNorms;
use super::selective_scan::SelectiveScan;
use super::short_convolution::ShortConvolution;
use super::state_space::StateSpace;
use crate::ModelError;
use crate::arch::{self, Linear, Loader, Spec};

/// The weights of a layer's first part.
#[derive(Debug)]
pub(super) struct Mixer {
    norms: PartNorms,
    kind: Kind,
    /// From what was gathered to the residual stream.
    output: Linear,
}

#[derive(Debug)]
enum Kind {
    Attention(Box<Attention>),
    ShortConvolution(Box<ShortConvolution>),
    GatedDelta(Box<GatedDelta>),
    SelectiveScan(Box<SelectiveScan>),
    StateSpace(Box<StateSpace>),
}

/// What a layer has in the cache, counted over all layers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Layers with keys and values.
    pub(super) attention_layers: usize,
    /// Sizes of the states.
    pub(super) states: Vec<usize>,
}

impl Memory {
    /// A state of `size` values, by its index.
    pub(super) fn state(&mut self, size: usize) -> usize {
        self.states.push(size);
        self.states.len() - 1
    }

    /// A layer of keys and values, by its index.
    pub(super) fn attention(&mut self) -> usize {
        self.attention_layers += 1;
        self.attention_layers - 1
    }
}

impl Mixer {
    pub(super) fn load(
        spec: &Spec,
        loader: &mut Loader<'_>,
        layer: usize,
        memory: &mut Memory,
    ) -> Result<Self, ModelError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let norms = [&name("attn_norm")[..], &name("post_attention_norm")];
        let norms = PartNorms::load(spec, loader, norms, true)?;
        let (kind, output, width, bias) = match spec.layers[layer].mixer {
            arch::Mixer::Attention => {
                let kind = Attention::load(spec, loader, layer, memory.attention())?;
                let width = spec.heads * spec.head_dim;
                let bias = spec.biases.output;
                (Kind::Attention(kind.into()), "attn_output", width, bias)
            }
            arch::Mixer::ShortConvolution { taps } => {
                let kind = ShortConvolution::load(spec, loader, layer, taps, memory)?;
                let (width, bias) = (spec.hidden, spec.biases.inputs);
                (
                    Kind::ShortConvolution(kind.into()),
                    "shortconv.out_proj",
                    width,
                    bias,
                )
            }
            arch::Mixer::GatedDelta(delta) => {
                let kind = GatedDelta::load(spec, delta, loader, layer, memory)?;
                let width = delta.rule.value_heads * delta.rule.value_dim;
                (
                    Kind::GatedDelta(kind.into()),
                    "ssm_out",
                    width,
                    arch::Bias::Never,
                )
            }
            arch::Mixer::SelectiveScan(scan) => {
                let kind = SelectiveScan::load(spec, scan, loader, layer, memory)?;
                let bias = spec.biases.output;
                (
                    Kind::SelectiveScan(kind.into()),
                    "ssm_out",
                    scan.inner,
                    bias,
                )
            }
            arch::Mixer::StateSpace(space) => {
                let kind = StateSpace::load(spec, space, loader, layer, memory)?;
                let bias = spec.biases.output;
                (Kind::StateSpace(kind.into()), "ssm_out", space.inner, bias)
            }
        };
        Ok(Self {
            norms,
            kind,
            output: loader.linear(&name(output), [spec.hidden, width], bias)?,
        })
    }
}

impl Pass<'_> {
    /// What the new tokens gather from those before them in layer `index`.
    pub(super) fn mix(&mut self, index: usize, layer: &Mixer) -> Result<(), ModelError> {
        let before = &layer.norms.before;
        match &layer.kind {
            Kind::Attention(attention) => self.attend(index, before, attention)?,
            Kind::ShortConvolution(convolution) => self.convolve(before, convolution),
            Kind::GatedDelta(delta) => self.correct(before, delta),
            Kind::SelectiveScan(scan) => self.scan(before, scan),
            Kind::StateSpace(space) => self.remember(before, space),
        }
        Ok(())
    }

    /// Adds it to the residual stream.
    pub(super) fn add_mixed(&mut self, layer: &Mixer) {
        let Buffers {
            stream,
            mixed,
            branch,
            quantized,
            ..
        } = &mut *self.buffers;
        let input = self.context.input(mixed.view(), quantized, &layer.output);
        let output = (&layer.output, layer.norms.after.as_ref());
        self.context.add_branch(input, output, branch, stream);
    }
}
