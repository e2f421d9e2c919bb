from .galaxies import (
    KINDS as KINDS,
)
from .galaxies import (
    Galaxy as Galaxy,
)
from .galaxies import (
    draw_galaxy as draw_galaxy,
)
from .light import (
    Light as Light,
)
from .light import (
    render as render,
)
from .masks import (
    MASK_BITS as MASK_BITS,
)
from .masks import (
    read_masks as read_masks,
)
from .observing import (
    Observation as Observation,
)
from .observing import (
    at_redshift as at_redshift,
)
from .observing import (
    observe as observe,
)
from .sheet import (
    contact_sheet as contact_sheet,
)
from .simulation import (
    Simulation as Simulation,
)
from .simulation import (
    simulate as simulate,
)
from .simulation import (
    simulate_galaxy as simulate_galaxy,
)
from .skies import (
    EMBEDDED as EMBEDDED,
)
from .skies import (
    PRETRAINING as PRETRAINING,
)
from .skies import (
    embedded_sky as embedded_sky,
)
from .surveys import (
    SURVEYS as SURVEYS,
)
from .surveys import (
    Survey as Survey,
)
from .volunteers import (
    Ballot as Ballot,
)
from .volunteers import (
    vote as vote,
)
