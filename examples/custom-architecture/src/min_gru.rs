//! minGRU, with a forward pass of its own: a recurrent model that remembers one row a layer, however long the text.
//!
//! Feng et al., "Were RNNs All We Needed?", arXiv:2410.01201, section 3.1. A layer is
//!
//! ```text
//! x = norm(stream)
//! z = σ(gate·x)                      how much is new
//! h = (1 - z) ⊙ h + z ⊙ (candidate·x)
//! stream += output·h
//! ```

use dino_llm::dino_kernels::ops::{self, EmbeddingTable, LinearInput};
use dino_llm::dino_kernels::{Compute, PackedWeight};
use dino_llm::dino_models::arch::{Bias, Linear, Loader, Spec};
use dino_llm::dino_models::format::Metadata;
use dino_llm::dino_models::{Batch, Cache, CausalLm, Scratch};
use dino_llm::{Architecture, Config, ModelError};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Zip};

/// Files that name the architecture `mingru`.
pub struct MinGru;

impl Architecture for MinGru {
    fn names(&self) -> &[&str] {
        &["mingru"]
    }

    /// There is none: no [`Spec`] describes this model.
    fn spec(&self, metadata: &Metadata) -> Result<Spec, ModelError> {
        Err(ModelError::Unsupported {
            file: metadata.file().to_owned(),
            key: "general.architecture".into(),
            found: "mingru as a decoder".into(),
        })
    }

    fn build(&self, loader: &mut Loader<'_>) -> Result<Box<dyn CausalLm>, ModelError> {
        Ok(Box::new(Recurrent::load(loader)?))
    }
}

/// The model: its weights, and the sizes that others need.
struct Recurrent {
    config: Config,
    epsilon: f32,
    embedding: PackedWeight,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Linear,
}

struct Layer {
    norm: Vec<f32>,
    gate: Linear,
    candidate: Linear,
    output: Linear,
}

impl Recurrent {
    fn load(loader: &mut Loader<'_>) -> Result<Self, ModelError> {
        let metadata = loader.metadata().scoped()?;
        let layers: usize = metadata.get("block_count")?;
        let hidden: usize = metadata.get("embedding_length")?;
        let context_length = metadata.get("context_length")?;
        let epsilon = metadata.get("attention.layer_norm_rms_epsilon")?;
        let vocabulary = loader.vocabulary(None)?;
        let table = loader
            .weights()
            .expect("token_embd.weight", &[vocabulary, hidden])?;
        let embedding = loader.pack(&table)?;
        let layers: Vec<_> = (0..layers)
            .map(|index| Layer::load(loader, index, hidden))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            config: Config {
                vocabulary,
                context_length,
                hidden,
                layers: layers.len(),
                // Nothing in pages: each layer has one row a sequence instead.
                states: vec![hidden; layers.len()],
                parameters: loader.weights().infos().map(|tensor| tensor.values()).sum(),
                ..Config::default()
            },
            epsilon,
            embedding,
            norm: loader.vector("output_norm.weight", hidden)?,
            head: loader.linear("output", [vocabulary, hidden], Bias::Never)?,
            layers,
        })
    }

    /// The last norm and the head, for the rows that want logits alone.
    fn head(
        &self,
        compute: &Compute,
        batch: &Batch,
        stream: ArrayView2<'_, f32>,
        logits: &mut [f32],
    ) {
        let wanted = stream.select(Axis(0), batch.wanted());
        let mut normed = Array2::zeros(wanted.dim());
        ops::rms_norm(
            compute,
            wanted.view(),
            &self.norm,
            self.epsilon,
            normed.view_mut(),
        );
        let shape = (batch.wanted().len(), self.config.vocabulary);
        let logits = ArrayViewMut2::from_shape(shape, logits).expect("logits of the wanted rows");
        apply(compute, normed.view(), &mut [(&self.head, logits)]);
    }
}

impl CausalLm for Recurrent {
    fn config(&self) -> &Config {
        &self.config
    }

    fn forward(
        &self,
        compute: &Compute,
        batch: &Batch,
        cache: &mut Cache,
        scratch: &mut Scratch,
    ) -> Result<(), ModelError> {
        for span in batch.spans() {
            cache.reserve(span.sequence, span.rows.len())?;
        }
        let (stream, logits) =
            scratch.prepare::<Array2<f32>>(batch.wanted().len(), self.config.vocabulary);
        *stream = Array2::zeros((batch.tokens().len(), self.config.hidden));
        let table = EmbeddingTable::Packed(&self.embedding);
        ops::embed(compute, table, batch.tokens(), stream.view_mut())?;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.run(
                compute,
                self.epsilon,
                batch,
                cache.states_mut(index),
                stream.view_mut(),
            );
        }
        self.head(compute, batch, stream.view(), logits);
        for span in batch.spans() {
            cache.advance(span.sequence, span.rows.len())?;
        }
        Ok(())
    }
}

impl Layer {
    fn load(loader: &mut Loader<'_>, index: usize, hidden: usize) -> Result<Self, ModelError> {
        let mut linear = |part: &str| {
            let name = format!("blk.{index}.{part}");
            loader.linear(&name, [hidden, hidden], Bias::Always)
        };
        Ok(Self {
            gate: linear("gate")?,
            candidate: linear("candidate")?,
            output: linear("output")?,
            norm: loader.vector(&format!("blk.{index}.norm.weight"), hidden)?,
        })
    }

    /// Adds what the layer makes of `stream`, `[tokens, hidden]`, to it; `states` is `[sequences, hidden]`.
    fn run(
        &self,
        compute: &Compute,
        epsilon: f32,
        batch: &Batch,
        mut states: ArrayViewMut2<'_, f32>,
        mut stream: ArrayViewMut2<'_, f32>,
    ) {
        let mut normed = Array2::zeros(stream.dim());
        ops::rms_norm(
            compute,
            stream.view(),
            &self.norm,
            epsilon,
            normed.view_mut(),
        );
        let (mut gate, mut hidden) = (Array2::zeros(stream.dim()), Array2::zeros(stream.dim()));
        let mut layers = [
            (&self.gate, gate.view_mut()),
            (&self.candidate, hidden.view_mut()),
        ];
        apply(compute, normed.view(), &mut layers);
        for span in batch.spans() {
            let mut state = states.row_mut(span.sequence.row());
            for row in span.rows.clone() {
                let (gate, candidate) = (gate.row(row), hidden.row_mut(row));
                Zip::from(&mut state)
                    .and(gate)
                    .and(candidate)
                    .for_each(|h, &gate, candidate| {
                        let new = 1.0 / (1.0 + (-gate).exp());
                        *h = (1.0 - new) * *h + new * *candidate;
                        *candidate = *h;
                    });
            }
        }
        apply(
            compute,
            hidden.view(),
            &mut [(&self.output, normed.view_mut())],
        );
        ops::add(compute, stream.view_mut(), normed.view());
    }
}

/// Runs linear layers that share their input, `[tokens, in_features]`, in one parallel region.
fn apply(
    compute: &Compute,
    input: ArrayView2<'_, f32>,
    layers: &mut [(&Linear, ArrayViewMut2<'_, f32>)],
) {
    let layers: Vec<_> = layers
        .iter_mut()
        .map(|(layer, output)| {
            ops::Linear::store(&layer.weight, layer.bias.as_deref(), output.view_mut())
        })
        .collect();
    ops::linear(compute, LinearInput::precise(input), &layers);
}
