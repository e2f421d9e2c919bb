"""Pixels: decoding, checking and framing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cache": ["Frames", "cached_frames"],
        "content": ["NO_CONTENT", "Fault", "NoContent", "require_content"],
        "corruptions": ["CORRUPTIONS", "PUBLISHED", "SEVERITIES", "corrupt", "frame_scale"],
        "decoding": [
            "Source",
            "as_image",
            "decode",
            "decode_bytes",
            "galaxy_image",
            "holds_fits",
        ],
        "fits": ["is_fits"],
        "frame": ["centre_frame"],
        "likeness": ["likeness", "same_images"],
        "inspection": [
            "Inspection",
            "copies_in_words",
            "digest_bytes",
            "image_problems",
            "inspect_image",
            "inspect_images",
            "require_fits",
        ],
        "rendering": ["STRETCHES", "Rendering"],
        "workers": ["decoded", "decoding_threads"],
    },
)
