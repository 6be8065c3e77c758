"""Tiny models of tiny_architectures.py whose layers are not all attention: see tiny_configs.py."""

import gguf
import numpy as np

from tiny_configs import Architecture, expert_tensors, granite_keys, head_dim_keys, moe_keys, permuted_expert_tensors


def squeezed(values):
    """A convolution as a matrix."""
    return {name: value.reshape(value.shape[0], -1) if "conv" in name and value.ndim == 3 else value
            for name, value in values.items()}


def state_tensors(values, config):
    """A itself, not the logarithm of -A; the bias of steps under the name of Mamba's."""
    changed = {}
    for name, value in squeezed(values).items():
        if name.endswith(".A_log"):
            value = -np.exp(value.astype(np.float64)).astype(np.float32)
        changed[name.replace(".dt_bias", ".dt_proj.bias")] = value
    return changed


def mamba2_tensors(values, config):
    """A and D as columns, the norm in groups."""
    changed = state_tensors(values, config)
    for name, value in changed.items():
        if name.endswith((".A_log", ".D")):
            changed[name] = value.reshape(-1, 1)
        elif name.endswith("mixer.norm.weight"):
            changed[name] = value.reshape(config.n_groups, -1)
    return changed


def taking_turns(value, axis, config):
    """Value heads of one key head, which lie side by side, take turns with those of the others."""
    keys = config.linear_num_key_heads
    shape = value.shape
    value = np.moveaxis(value, axis, 0)
    heads = value.reshape(keys, config.linear_num_value_heads // keys, -1, *value.shape[1:])
    return np.ascontiguousarray(np.moveaxis(heads.swapaxes(0, 1).reshape(value.shape), 0, axis)).reshape(shape)


def qwen35_tensors(values, config):
    keys = 2 * config.linear_num_key_heads * config.linear_key_head_dim
    changed = {}
    for name, value in state_tensors(values, config).items():
        part = name.rsplit("linear_attn.", 1)[-1]
        if part in ("in_proj_qkv.weight", "conv1d.weight"):
            value = np.concatenate([value[:keys], taking_turns(value[keys:], 0, config)])
        elif part in ("in_proj_z.weight", "in_proj_a.weight", "in_proj_b.weight", "A_log", "dt_proj.bias"):
            value = taking_turns(value, 0, config)
        elif part == "out_proj.weight":
            value = taking_turns(value, 1, config)
        changed[name] = value + 1 if name.endswith("norm.weight") and part != "norm.weight" else value
    return changed


def qwen35_moe_tensors(values, config):
    return expert_tensors(qwen35_tensors(values, config), config)


def qwen3_next_tensors(values, config):
    """Queries, keys and values of all key heads behind each other, and the gates apart."""
    keys, heads = config.linear_num_key_heads, config.linear_num_value_heads
    key_dim, group = config.linear_key_head_dim, heads // keys * config.linear_value_head_dim
    changed = {}
    for name, value in expert_tensors(state_tensors(values, config), config).items():
        if name.endswith("in_proj_qkvz.weight"):
            layer = name.split(".")[2]
            parts = np.split(value.reshape(keys, -1, value.shape[1]), [key_dim, 2 * key_dim, 2 * key_dim + group], axis=1)
            *qkv, gate = [part.reshape(-1, value.shape[1]) for part in parts]
            changed[f"blk.{layer}.attn_qkv.weight"] = np.concatenate(qkv)
            changed[f"blk.{layer}.attn_gate.weight"] = np.ascontiguousarray(gate)
        else:
            changed[name] = value + 1 if name.endswith("norm.weight") and "linear_attn" not in name else value
    return changed


def mamba_keys(writer, config):
    writer.add_ssm_conv_kernel(config.conv_kernel)
    writer.add_ssm_inner_size(config.intermediate_size)
    writer.add_ssm_state_size(config.state_size)
    writer.add_ssm_time_step_rank(config.time_step_rank)
    writer.add_ssm_dt_b_c_rms(config.model_type == "falcon_mamba")


def mamba2_keys(writer, config):
    writer.add_ssm_conv_kernel(config.conv_kernel)
    writer.add_ssm_inner_size(config.num_heads * config.head_dim)
    writer.add_ssm_state_size(config.state_size)
    writer.add_ssm_time_step_rank(config.num_heads)
    writer.add_ssm_group_count(config.n_groups)


def granite_hybrid_keys(writer, config):
    granite_keys(writer, config)
    writer.add_ssm_conv_kernel(config.mamba_d_conv)
    writer.add_ssm_inner_size(config.mamba_expand * config.hidden_size)
    writer.add_ssm_state_size(config.mamba_d_state)
    writer.add_ssm_time_step_rank(config.mamba_n_heads)
    writer.add_ssm_group_count(config.mamba_n_groups)
    writer.add_rope_scaling_finetuned(config.position_embedding_type == "rope")
    writer.add_expert_shared_feed_forward_length(config.shared_intermediate_size)
    if config.num_local_experts:
        writer.add_expert_count(config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)


def granite_hybrid_tensors(values, config):
    """A and D as columns, the norm in groups; the shared expert is the feed-forward part where there are no others."""
    end = "_shexp" if config.num_local_experts else ""
    changed = {}
    for name, value in permuted_expert_tensors(state_tensors(values, config), config).items():
        layer = name.split(".")[2] if ".layers." in name else ""
        if name.endswith((".A_log", ".D")):
            value = value.reshape(-1, 1)
        elif name.endswith("mamba.norm.weight"):
            value = value.reshape(config.mamba_n_groups, -1)
        if name.endswith("shared_mlp.input_linear.weight"):
            changed[f"blk.{layer}.ffn_gate{end}.weight"], changed[f"blk.{layer}.ffn_up{end}.weight"] = np.split(value, 2)
        elif name.endswith("shared_mlp.output_linear.weight"):
            changed[f"blk.{layer}.ffn_down{end}.weight"] = value
        else:
            changed[name] = value
    return changed


def lfm2_keys(writer, config):
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_shortconv_l_cache(config.conv_L_cache)


def lfm2_moe_keys(writer, config):
    lfm2_keys(writer, config)
    moe_keys(writer, config)
    writer.add_leading_dense_block_count(config.num_dense_layers)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_expert_weights_scale(config.routed_scaling_factor)


def lfm2_moe_tensors(values, config):
    changed = {}
    for name, value in expert_tensors(squeezed(values), config).items():
        layer = name.split(".")[2] if ".layers." in name else ""
        renamed = {"feed_forward.gate.weight": "ffn_gate_inp.weight", "feed_forward.expert_bias": "exp_probs_b.bias"}
        ours = next((f"blk.{layer}.{to}" for end, to in renamed.items() if name.endswith(end)), name)
        changed[ours] = value
    return changed


def delta_keys(writer, config):
    head_dim_keys(writer, config)
    writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
    writer.add_ssm_state_size(config.linear_key_head_dim)
    writer.add_ssm_group_count(config.linear_num_key_heads)
    writer.add_ssm_time_step_rank(config.linear_num_value_heads)
    writer.add_ssm_inner_size(config.linear_value_head_dim * config.linear_num_value_heads)
    writer.add_full_attention_interval(4)
    writer.add_rope_dimension_count(config.head_dim // 4)


def qwen35_keys(writer, config):
    delta_keys(writer, config)
    writer.add_rope_dimension_sections([1, 1, 0, 0])


def qwen35_moe_keys(writer, config):
    qwen35_keys(writer, config)
    moe_keys(writer, config)


def qwen3_next_keys(writer, config):
    delta_keys(writer, config)
    moe_keys(writer, config)


DELTA = {"num_hidden_layers": 5, "head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
         "linear_key_head_dim": 8, "linear_value_head_dim": 6,
         "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25}}
NO_ATTENTION = dict.fromkeys(("intermediate_size", "num_attention_heads", "num_key_value_heads", "max_position_embeddings"))
VISION = {"depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 1, "out_hidden_size": 16,
          "num_position_embeddings": 4, "patch_size": 2}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 24}
GRANITE = {"num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"], "mamba_n_heads": 4,
           "mamba_d_head": 8, "mamba_n_groups": 2, "mamba_d_state": 4, "mamba_chunk_size": 8, "shared_intermediate_size": 24,
           "attention_multiplier": 0.2, "embedding_multiplier": 3.0, "residual_multiplier": 0.4, "logits_scaling": 2.5}


def kv_heads_of_attention(config):
    return [config.num_key_value_heads * (kind == "full_attention") for kind in config.layer_types]


RECURRENT = [
    Architecture("mamba", "selective scans and nothing else", NO_ATTENTION | {"state_size": 4, "time_step_rank": 3}, mamba_keys,
                 state_tensors, attends=False),
    Architecture("falcon-mamba", "a mamba whose steps, B and C are normalised", NO_ATTENTION | {"state_size": 4, "time_step_rank": 3},
                 mamba_keys, state_tensors, arch="mamba", model_type="falcon_mamba", attends=False),
    Architecture("mamba2", "state spaces with 4 heads in 2 groups",
                 NO_ATTENTION | {"state_size": 4, "num_heads": 4, "head_dim": 8, "n_groups": 2, "chunk_size": 8}, mamba2_keys,
                 mamba2_tensors, attends=False),
    Architecture("lfm2", "short convolutions in two of three layers",
                 {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 8},
                 lfm2_keys, inner=lambda config: 24, tensors=lambda values, config: squeezed(values),
                 kv_heads=lambda config: [config.num_key_value_heads * (kind != "conv") for kind in config.layer_types]),
    Architecture("lfm2moe", "the same with 6 experts, 2 a token, by sigmoid and preference, in all layers but the first",
                 {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention", "conv", "full_attention"], "num_experts": 6,
                  "num_experts_per_tok": 2, "moe_intermediate_size": 16, "num_dense_layers": 1, "routed_scaling_factor": 1.5},
                 lfm2_moe_keys, model_type="lfm2_moe", tensors=lfm2_moe_tensors,
                 kv_heads=lambda config: [config.num_key_value_heads * (kind != "conv") for kind in config.layer_types]),
    Architecture("granitehybrid", "granite with state spaces in two of three layers, whose attention does not rotate",
                 GRANITE | {"num_local_experts": 0, "position_embedding_type": "nope"}, granite_hybrid_keys,
                 granite_hybrid_tensors, model_type="granitemoehybrid", inner=lambda config: config.shared_intermediate_size,
                 kv_heads=kv_heads_of_attention),
    Architecture("granitehybrid-moe", "the same with rotation, 6 experts, 2 a token, and a shared one",
                 GRANITE | {"num_local_experts": 6, "num_experts_per_tok": 2, "intermediate_size": 16,
                            "position_embedding_type": "rope"}, granite_hybrid_keys, granite_hybrid_tensors,
                 arch="granitehybrid", model_type="granitemoehybrid", kv_heads=kv_heads_of_attention),
    Architecture("qwen35", "the gated delta rule in three of four layers, gated attention in the fourth", DELTA, qwen35_keys,
                 qwen35_tensors, model_type="qwen3_5_text", seeing=("qwen3_5", VISION), one_added_to_norms=True),
    Architecture("qwen35moe", "the same with 6 experts, 2 a token, and a shared one", DELTA | EXPERTS, qwen35_moe_keys,
                 qwen35_moe_tensors, model_type="qwen3_5_moe_text", seeing=("qwen3_5_moe", VISION), one_added_to_norms=True),
    Architecture("qwen3next", "the gated delta rule in three of four layers, 6 experts, 2 a token, and a shared one",
                 DELTA | EXPERTS, qwen3_next_keys, qwen3_next_tensors, model_type="qwen3_next", one_added_to_norms=True),
]
