"""What each strategy declares to change in an MLP with batch normalisation: patterns of names."""

HEAD = r"head\."
ENCODER = r"autoencoder\.(encoder|bottleneck)\."
DECODER = r"autoencoder\.decoder\."
STATISTICS = r".*(running_|num_batches)"
EVERYTHING = rf"{HEAD}|{ENCODER}"
"""But for the decoder, which has no part in the task."""
NOTHING = ""

_TRAIN_EVERYTHING = {
    "control": ("scratch", "source_only"),
    "feature": (
        "mmd",
        "jan",
        "coral",
        "dann",
        "cdan",
        "deep_jdot",
        "domain_separation",
        "mcc",
        "mdd",
    ),
    "parameter": (
        *("finetune", "layerwise_decay", "gradual_unfreezing", "lp_ft", "l2_sp", "delta", "bss"),
        *("distillation", "model_soup", "adabn"),
    ),
    "instance": (
        *("density_ratio", "kmm", "kliep", "ulsif", "rulsif", "knn_weights", "latent_density"),
        *(
            "elbo_weights",
            "reconstruction_error",
            "bbse",
            "target_shift",
            "select_best",
            "pseudo_labels",
        ),
        *("pseudo_labels", "generated", "latent_augmentation"),
    ),
}
_IN_CLOSED_FORM = {
    "control": ("random_features", "raw_features", "source_probe", "source_raw_features"),
    "feature": (
        *(
            "linear_probe",
            "knn",
            "svm",
            "frozen",
            "as_is",
            "coral_closed",
            "subspace_alignment",
            "tca",
        ),
        *("optimal_transport", "msda", "sda", "linear_transport", "label_transport"),
    ),
    "instance": ("tradaboost", "tradaboost_r2", "self_training"),
}


def _each(families: dict[str, tuple[str, ...]], pattern: str) -> dict[str, str]:
    return {f"{family}/{name}": pattern for family, names in families.items() for name in names}


DECLARED = {
    **_each(_TRAIN_EVERYTHING, EVERYTHING),
    **_each(_IN_CLOSED_FORM, NOTHING),
    "feature/sgd_probe": HEAD,
    "feature/dec": EVERYTHING,
    "feature/idec": rf"{EVERYTHING}|{DECODER}",
    "feature/mlp_head": HEAD,
    "feature/drcn": rf"{EVERYTHING}|{DECODER}",
    "parameter/freeze": rf"{HEAD}|autoencoder\.(encoder\.2|bottleneck)\.",
    "parameter/decoder_transfer": rf"{EVERYTHING}|{DECODER}",
    "parameter/keep_reconstructing": rf"{EVERYTHING}|{DECODER}",
    "parameter/bitfit": rf"{HEAD}|{ENCODER}.*bias|{ENCODER}{STATISTICS}",
    "parameter/norm_only": rf"{HEAD}|autoencoder\.encoder\.[12]\.1\.",
    "parameter/lora": rf"{HEAD}|{ENCODER}.*lora_[ab]",
    "parameter/adapters": rf"{HEAD}|{ENCODER}.*adapter\.",
}
