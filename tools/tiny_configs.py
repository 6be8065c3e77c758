"""The tiny models of tiny_architectures.py: their configurations, and how the file of each differs from others'.

Metadata keys and the layout of tensors are those that llama.cpp's converter writes.
"""

import dataclasses
import math

import gguf
import numpy as np

LONG_FACTORS, SHORT_FACTORS = [1.1, 2.0, 5.0, 9.0], [1.0, 1.2, 1.5, 2.0]


@dataclasses.dataclass
class Architecture:
    """One tiny model."""

    # Of its files.
    name: str
    about: str
    # What transformers' configuration has beside the common sizes.
    config: dict
    # Called with (writer, config): keys of this architecture alone.
    keys: callable = lambda writer, config: None
    # Called with (values by name, config): the tensors as the file holds them, under transformers' or GGUF names.
    tensors: callable = lambda values, config: values
    # general.architecture, where the name says more.
    arch: str = ""
    # transformers' name for it, where it differs.
    model_type: str = ""
    # The context that is asked for, where the model depends on it.
    context: int = 0
    # Whether transformers adds one to norm weights at run time, and the file holds the sum.
    one_added_to_norms: bool = False
    # Whether it is saved as a folder too.
    folder: bool = True
    # transformers' name for a model that also sees, of which this is the text part, and what its part for images is.
    # It is saved as the folder NAME-seeing.
    seeing: tuple = ()
    # Whether it has attention and a feed-forward part.
    attends: bool = True
    # Called with (config): features of the feed-forward part, where no key of the configuration is what they are.
    inner: callable = lambda config: None
    # Called with (config): key/value heads, of all layers or each.
    kv_heads: callable = lambda config: getattr(config, "num_key_value_heads", None) or getattr(config, "num_kv_heads", None)
    # The type of the matrices.
    dtype: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F16
    # That of experts' matrices, where it is another one.
    expert_dtype: gguf.GGMLQuantizationType = None
    # Called with the name of a parameter: whether transformers holds its matrices as [in, out].
    transposed: callable = lambda name: False

    def dtype_of(self, name):
        return self.expert_dtype if self.expert_dtype and "exp" in name else self.dtype


def permute(weights, heads):
    """transformers rotates halves of a head, files of llama's kin neighbours: reorder the rows of q and k."""
    return weights.reshape(heads, 2, len(weights) // heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


def permuted(values, config):
    """The rows of q and k as files of llama's kin hold them."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    return {name: permute(value, heads[name.split(".")[-2]]) if name.split(".")[-2] in heads else value
            for name, value in values.items()}


def one_added(values, config):
    return {name: value + 1 if name.endswith("norm.weight") else value for name, value in values.items()}


def neox_tensors(values, config):
    """Queries, keys and values of all heads behind each other, not of each head."""
    shape = (config.num_attention_heads, 3, config.hidden_size // config.num_attention_heads, -1)
    return {name: value.reshape(shape).swapaxes(0, 1).reshape(value.shape) if "query_key_value" in name else value
            for name, value in values.items()}


def gpt2_tensors(values, config):
    transposed = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    return {name: np.ascontiguousarray(value.T) if name.endswith(transposed) else value
            for name, value in values.items()}


def stablelm_tensors(values, config):
    """The norms of heads as one tensor."""
    stacked = {name: value for name, value in values.items() if ".norms." not in name}
    for layer in range(config.num_hidden_layers):
        for part in ("q", "k"):
            stem = f"model.layers.{layer}.self_attn.{part}_layernorm"
            heads = [value for name, value in values.items() if name.startswith(f"{stem}.norms.")]
            if heads:
                stacked[f"{stem}.weight"] = np.stack(heads)
    return stacked


def expert_tensors(values, config):
    """Gate and up of all experts as two tensors; names of mixtral are those of llama."""
    split = {}
    for name, value in values.items():
        layer = name.split(".")[2] if ".layers." in name else ""
        if name.endswith(("experts.gate_up_proj", "moe.input_linear.weight")):
            half = value.shape[1] // 2
            split[f"blk.{layer}.ffn_gate_exps.weight"] = np.ascontiguousarray(value[:, :half])
            split[f"blk.{layer}.ffn_up_exps.weight"] = np.ascontiguousarray(value[:, half:])
        elif name.endswith(("experts.down_proj", "moe.output_linear.weight")):
            split[f"blk.{layer}.ffn_down_exps.weight"] = value
        elif name.endswith(("mlp.gate.weight", "router.layer.weight", "block_sparse_moe.router.weight")):
            split[f"blk.{layer}.ffn_gate_inp.weight"] = value
        elif name.endswith("shared_expert_gate.weight"):
            split[f"blk.{layer}.ffn_gate_inp_shexp.weight"] = value[0]
        else:
            split[name] = value
    return split


def permuted_expert_tensors(values, config):
    return expert_tensors(permuted(values, config), config)


def gpt_oss_tensors(values, config):
    """Gate and up, whose columns take turns, as the rows of two tensors each."""
    split = {}
    for name, value in values.items():
        layer = name.split(".")[2] if ".layers." in name else ""
        end = "bias" if name.endswith("bias") else "weight"
        if ".experts." in name and value.ndim == 3:
            value = value.swapaxes(1, 2)
        if ".experts.gate_up" in name:
            rows = (slice(None), slice(0, None, 2)), (slice(None), slice(1, None, 2))
            split[f"blk.{layer}.ffn_gate_exps.{end}"], split[f"blk.{layer}.ffn_up_exps.{end}"] = (value[row] for row in rows)
        elif ".experts.down" in name:
            split[f"blk.{layer}.ffn_down_exps.{end}"] = value
        elif name.endswith("sinks"):
            split[f"blk.{layer}.attn_sinks.weight"] = value
        elif "post_attention_layernorm" in name:
            split[f"blk.{layer}.post_attention_norm.weight"] = value
        else:
            split[name] = value
    return {name: np.ascontiguousarray(value) for name, value in split.items()}


def longrope_tensors(values, config):
    return values | {"rope_factors_long.weight": np.array(LONG_FACTORS, dtype=np.float32),
                     "rope_factors_short.weight": np.array(SHORT_FACTORS, dtype=np.float32)}


def head_dim_keys(writer, config):
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)


def rotary_keys(writer, config):
    head_dim = config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(int(config.rope_parameters.get("partial_rotary_factor", 1) * head_dim))


def gemma_keys(writer, config):
    head_dim_keys(writer, config)
    if window := getattr(config, "sliding_window", None):
        writer.add_sliding_window(window)
    if cap := getattr(config, "attn_logit_softcapping", None):
        writer.add_attn_logit_softcapping(cap)
    if cap := getattr(config, "final_logit_softcapping", None):
        writer.add_final_logit_softcapping(cap)


def granite_keys(writer, config):
    rotary_keys(writer, config)
    writer.add_attention_scale(config.attention_multiplier)
    writer.add_embedding_scale(config.embedding_multiplier)
    writer.add_residual_scale(config.residual_multiplier)
    writer.add_logit_scale(config.logits_scaling)


def phi3_keys(writer, config):
    rotary_keys(writer, config)
    writer.add_sliding_window(config.sliding_window or 0)


def longrope_keys(writer, config):
    phi3_keys(writer, config)
    original = config.rope_parameters["original_max_position_embeddings"]
    writer.add_rope_scaling_orig_ctx_len(original)
    scale = config.max_position_embeddings / original
    writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(original)))


def stablelm_keys(writer, config):
    rotary_keys(writer, config)
    writer.add_parallel_residual(config.use_parallel_residual)


def cohere_keys(writer, config):
    writer.add_logit_scale(config.logit_scale)
    writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
    if window := getattr(config, "sliding_window", None):
        writer.add_sliding_window(window)
        rotary_keys(writer, config)


def window_keys(writer, config):
    writer.add_sliding_window(config.sliding_window)
    writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])


def mistral_keys(writer, config):
    rotary_keys(writer, config)
    writer.add_sliding_window(config.sliding_window)


def dynamic_keys(writer, config):
    """A scaling that GGUF has no name for: under the one of transformers."""
    rotary_keys(writer, config)
    writer.add_string("llama.rope.scaling.type", "dynamic")
    writer.add_rope_scaling_factor(config.rope_parameters["factor"])


def yarn_keys(writer, config):
    rope = config.rope_parameters
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def olmo3_keys(writer, config):
    window_keys(writer, config)
    rope = config.rope_parameters["full_attention"]
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def nemotron_keys(writer, config):
    rotary_keys(writer, config)
    writer.add_layer_norm_eps(config.norm_eps)


def moe_keys(writer, config):
    count = getattr(config, "num_local_experts", None) or config.num_experts
    writer.add_expert_count(count)
    writer.add_expert_used_count(config.num_experts_per_tok)
    if size := getattr(config, "moe_intermediate_size", None):
        writer.add_expert_feed_forward_length(size)
    if size := getattr(config, "shared_expert_intermediate_size", None):
        writer.add_expert_shared_feed_forward_length(size)


def gpt_oss_keys(writer, config):
    head_dim_keys(writer, config)
    moe_keys(writer, config)
    yarn_keys(writer, config)
    writer.add_expert_feed_forward_length(config.intermediate_size)
    writer.add_sliding_window(config.sliding_window)


def mistral3_keys(writer, config):
    rotary_keys(writer, config)
    yarn_keys(writer, config)
    writer.add_rope_scaling_yarn_log_mul(config.rope_parameters["mscale_all_dim"])
    writer.add_attn_temperature_scale(config.rope_parameters["llama_4_scaling_beta"])


def qwen3_moe_keys(writer, config):
    head_dim_keys(writer, config)
    moe_keys(writer, config)


def mixtral_keys(writer, config):
    rotary_keys(writer, config)
    moe_keys(writer, config)


def granite_moe_keys(writer, config):
    granite_keys(writer, config)
    moe_keys(writer, config)


TIED = {"tie_word_embeddings": True}
MOE = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "norm_topk_prob": False}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
Q8_0 = gguf.GGMLQuantizationType.Q8_0
GPT_OSS = {"num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 32, "hidden_size": 32, "head_dim": 16,
           "num_hidden_layers": 3, "sliding_window": 8, "swiglu_limit": 7.0, "attention_bias": True,
           "rope_parameters": YARN | {"truncate": False, "beta_fast": 32.0, "beta_slow": 1.0}}

ARCHITECTURES = [
    Architecture("qwen2", "biases of queries, keys and values", TIED),
    Architecture("qwen2-yarn", "yarn: a context of 16 stretched by 4", {"rope_parameters": YARN}, yarn_keys, arch="qwen2"),
    Architecture("qwen3", "normalised heads, wider than the hidden size holds", TIED | {"head_dim": 12}, head_dim_keys),
    Architecture("llama", "the plain one", {}, rotary_keys, permuted),
    Architecture("mistral", "a llama with a window of 8 in all layers", {"sliding_window": 8}, mistral_keys, permuted,
                 arch="llama"),
    Architecture("llama-dynamic", "a context of 16 stretched to the 24 that are asked for",
                 {"max_position_embeddings": 16, "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0,
                                                                     "factor": 2.0}}, dynamic_keys, permuted,
                 arch="llama", context=24),
    Architecture("smollm3", "every fourth layer without rotation", TIED | {"num_hidden_layers": 5}, rotary_keys, permuted),
    Architecture("gemma", "GeGLU, scaled embeddings", {"head_dim": 12}, gemma_keys, one_added, one_added_to_norms=True),
    Architecture("gemma2", "sandwich norms, soft caps, a window of 8 in every other layer",
                 {"num_hidden_layers": 3, "head_dim": 12, "query_pre_attn_scalar": 12, "sliding_window": 8,
                  "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}, gemma_keys, one_added,
                 one_added_to_norms=True),
    Architecture("gemma3", "a window of 8 and another rotation in five of six layers",
                 {"num_hidden_layers": 7, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8}, gemma_keys,
                 one_added, model_type="gemma3_text", one_added_to_norms=True, seeing=("gemma3", {
                     "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
                     "image_size": 8, "patch_size": 4})),
    Architecture("olmo2", "norms behind the parts, queries and keys normalised as rows", {}),
    Architecture("olmo3", "an olmo2 with a window of 8 in three of four layers, and yarn in the others",
                 {"num_hidden_layers": 4, "sliding_window": 8, "rope_parameters": {
                     "full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}, olmo3_keys, arch="olmo2"),
    Architecture("granite", "multipliers of embeddings, scores, residuals and logits",
                 {"attention_multiplier": 0.2, "embedding_multiplier": 3.0, "residual_multiplier": 0.4,
                  "logits_scaling": 2.5}, granite_keys, permuted),
    Architecture("phi2", "parallel parts with one norm, half of a head rotated, a bias of the head",
                 {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
                  "num_key_value_heads": 2}, rotary_keys, model_type="phi"),
    Architecture("phi3", "fused matrices, a window of 8", {"sliding_window": 8}, phi3_keys),
    Architecture("phi3-longrope", "long factors: the context was stretched from 16 to 64",
                 {"max_position_embeddings": 128, "original_max_position_embeddings": 16, "rope_parameters": {
                     "rope_type": "longrope", "rope_theta": 10000.0, "long_factor": LONG_FACTORS,
                     "short_factor": SHORT_FACTORS, "original_max_position_embeddings": 16}}, longrope_keys,
                 longrope_tensors, arch="phi3"),
    Architecture("phi3-longrope-short", "short factors: what is asked for fits the original context of 96",
                 {"max_position_embeddings": 256, "original_max_position_embeddings": 96, "rope_parameters": {
                     "rope_type": "longrope", "rope_theta": 10000.0, "long_factor": LONG_FACTORS,
                     "short_factor": SHORT_FACTORS, "original_max_position_embeddings": 96}}, longrope_keys,
                 longrope_tensors, arch="phi3", context=96),
    Architecture("stablelm", "layer norms, a quarter of a head rotated, biases of queries, keys and values",
                 {"use_qkv_bias": True}, stablelm_keys, stablelm_tensors),
    Architecture("stablelm-parallel", "parallel parts with one norm, heads with norms of their own",
                 {"use_parallel_residual": True, "qk_layernorm": True}, stablelm_keys, stablelm_tensors, arch="stablelm"),
    Architecture("gpt2", "learned positions, biases everywhere, a plain feed-forward part",
                 {"num_key_value_heads": None, "intermediate_size": None}, tensors=gpt2_tensors,
                 transposed=lambda name: "c_" in name),
    Architecture("gptneox", "parallel parts with a norm each, a quarter of a head rotated",
                 {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
                  "num_key_value_heads": None},
                 lambda writer, config: (rotary_keys(writer, config),
                                         writer.add_parallel_residual(config.use_parallel_residual)),
                 neox_tensors, model_type="gpt_neox"),
    Architecture("gptneox-sequential", "the same with one part behind the other",
                 {"use_parallel_residual": False, "num_key_value_heads": None},
                 lambda writer, config: (rotary_keys(writer, config),
                                         writer.add_parallel_residual(config.use_parallel_residual)),
                 neox_tensors, arch="gptneox", model_type="gpt_neox"),
    Architecture("starcoder2", "layer norms, biases everywhere, a plain part, a window of 8", TIED | {"sliding_window": 8},
                 lambda writer, config: writer.add_sliding_window(config.sliding_window)),
    Architecture("falcon", "parallel parts with one norm, one key and value for all heads",
                 {"num_kv_heads": 1, "intermediate_size": None},
                 model_type="falcon"),
    Architecture("command-r", "parallel parts with one norm without bias, scaled logits, heads with norms of their own",
                 {"use_qk_norm": True, "logit_scale": 0.25}, cohere_keys, model_type="cohere"),
    Architecture("cohere2", "a window of 8 and rotation in three of four layers",
                 {"num_hidden_layers": 5, "sliding_window": 8, "logit_scale": 0.25}, cohere_keys),
    Architecture("glm4", "sandwich norms, half of a head rotated, gate and up as one matrix",
                 {"head_dim": 8, "attention_bias": True, "rope_parameters": {
                     "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}}, rotary_keys),
    Architecture("arcee", "a plain feed-forward part with squared ReLU", {}, rotary_keys, permuted),
    Architecture("ernie4_5", "a llama whose weights pair neighbours", TIED | {"head_dim": 8, "use_bias": False},
                 head_dim_keys),
    Architecture("exaone4", "norms behind the parts, normalised heads, a window of 8 and rotation in three of four layers",
                 {"num_hidden_layers": 4, "sliding_window": 8, "sliding_window_pattern": 4}, window_keys),
    Architecture("seed_oss", "biases of queries, keys and values, heads wider than the hidden size holds", {"head_dim": 12},
                 head_dim_keys),
    Architecture("nemotron", "layer norms around one, half of a head rotated, a plain part with squared ReLU",
                 {"norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
                 nemotron_keys, one_added, one_added_to_norms=True),
    Architecture("starcoder", "a gpt2 with one key and value for all heads",
                 {"num_key_value_heads": None, "intermediate_size": None},
                 lambda writer, config: writer.add_head_count_kv(1), model_type="gpt_bigcode"),
    Architecture("mixtral", "a llama with 6 experts, 2 a token, whose shares add up to one",
                 {"num_local_experts": 6, "num_experts_per_tok": 2}, mixtral_keys, permuted_expert_tensors, arch="llama"),
    Architecture("qwen2moe", "6 experts, 2 a token, shares as they come, and a gated shared expert",
                 MOE | {"shared_expert_intermediate_size": 24}, moe_keys, expert_tensors, model_type="qwen2_moe"),
    Architecture("qwen3moe", "6 experts, 2 a token, whose shares add up to one; normalised heads",
                 MOE | {"norm_topk_prob": True, "head_dim": 8}, qwen3_moe_keys, expert_tensors, model_type="qwen3_moe"),
    Architecture("qwen3moe-q8_0", "8 experts in 8 bits, 3 a token",
                 MOE | {"num_experts": 8, "num_experts_per_tok": 3, "norm_topk_prob": True, "head_dim": 16,
                        "hidden_size": 32, "moe_intermediate_size": 32}, qwen3_moe_keys, expert_tensors,
                 arch="qwen3moe", model_type="qwen3_moe", dtype=Q8_0, folder=False),
    Architecture("olmoe", "6 experts, 2 a token, shares as they come; queries and keys normalised as rows",
                 {"num_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 16}, moe_keys, expert_tensors),
    Architecture("granitemoe", "granite with 6 experts, 2 a token",
                 {"num_local_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 16, "attention_multiplier": 0.2,
                  "embedding_multiplier": 3.0, "residual_multiplier": 0.4, "logits_scaling": 2.5}, granite_moe_keys,
                 permuted_expert_tensors),
    Architecture("mistral3", "a llama whose queries grow with their positions, and whose context of 16 is stretched by 4",
                 {"head_dim": 8, "rope_parameters": YARN | {"mscale": 1.0, "mscale_all_dim": 1.0, "beta_fast": 32.0,
                                                            "beta_slow": 1.0, "llama_4_scaling_beta": 0.4}},
                 mistral3_keys, permuted, model_type="ministral3", seeing=("mistral3", {
                     "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 8,
                     "image_size": 8, "patch_size": 4})),
    Architecture("gpt-oss", "4 experts with biases and limited gates, attention sinks, a window of 8 in every other layer",
                 GPT_OSS, gpt_oss_keys, gpt_oss_tensors, model_type="gpt_oss",
                 transposed=lambda name: ".experts." in name),
    Architecture("gpt-oss-mxfp4", "the same with experts in MXFP4", GPT_OSS, gpt_oss_keys, gpt_oss_tensors, arch="gpt-oss",
                 model_type="gpt_oss", expert_dtype=gguf.GGMLQuantizationType.MXFP4,
                 transposed=lambda name: ".experts." in name),
]
