"""The kinds of made defect, by name. A new one is a module here and an entry below."""

from typing import Final

from fomoad.defects.kinds.blur import blur
from fomoad.defects.kinds.colour import colour
from fomoad.defects.kinds.cut_paste import cut_paste
from fomoad.defects.kinds.missing import missing
from fomoad.defects.kinds.poisson import poisson
from fomoad.defects.kinds.scratch import scratch
from fomoad.defects.kinds.stain import stain
from fomoad.defects.kinds.texture import texture
from fomoad.defects.scene import Kind

KINDS: Final[dict[str, Kind]] = {
    "cut_paste": cut_paste,
    "poisson": poisson,
    "texture": texture,
    "scratch": scratch,
    "stain": stain,
    "missing": missing,
    "blur": blur,
    "colour": colour,
}
