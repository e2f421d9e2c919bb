from .cache import (
    Frames as Frames,
)
from .cache import (
    cached_frames as cached_frames,
)
from .content import (
    NO_CONTENT as NO_CONTENT,
)
from .content import (
    Fault as Fault,
)
from .content import (
    NoContent as NoContent,
)
from .content import (
    require_content as require_content,
)
from .corruptions import (
    CORRUPTIONS as CORRUPTIONS,
)
from .corruptions import (
    PUBLISHED as PUBLISHED,
)
from .corruptions import (
    SEVERITIES as SEVERITIES,
)
from .corruptions import (
    Corruption as Corruption,
)
from .corruptions import (
    corrupt as corrupt,
)
from .corruptions import (
    corruption as corruption,
)
from .corruptions import (
    frame_scale as frame_scale,
)
from .decoding import (
    Source as Source,
)
from .decoding import (
    as_image as as_image,
)
from .decoding import (
    decode as decode,
)
from .decoding import (
    decode_bytes as decode_bytes,
)
from .decoding import (
    galaxy_image as galaxy_image,
)
from .decoding import (
    holds_fits as holds_fits,
)
from .duplicates import (
    near_duplicates as near_duplicates,
)
from .duplicates import (
    perceptual_hash as perceptual_hash,
)
from .fits import (
    is_fits as is_fits,
)
from .frame import (
    centre_frame as centre_frame,
)
from .inspection import (
    Inspection as Inspection,
)
from .inspection import (
    copies_in_words as copies_in_words,
)
from .inspection import (
    digest_bytes as digest_bytes,
)
from .inspection import (
    image_problems as image_problems,
)
from .inspection import (
    inspect_image as inspect_image,
)
from .inspection import (
    inspect_images as inspect_images,
)
from .inspection import (
    require_fits as require_fits,
)
from .rendering import (
    STRETCHES as STRETCHES,
)
from .rendering import (
    Rendering as Rendering,
)
from .rendering import (
    stretch as stretch,
)
from .workers import (
    decoding_threads as decoding_threads,
)
from .workers import (
    map_images as map_images,
)
