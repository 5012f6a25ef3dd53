"""Defects that code makes on good images, with masks: to tune and to judge a model before a real defect is there.

Each kind is a module of `kinds` and an entry of `KINDS`. They work on pixels 0 to 255, grey or RGB, of any size;
`fomoad.data.scaling` turns the result into what a model reads. Nothing here knows of models.

>>> import numpy as np
>>> images = np.random.default_rng(0).integers(90, 160, (4, 96, 96, 3), dtype=np.uint8)
>>> made = list(made_set(images, count=8, seed=1))
>>> made[0].pixels.shape, made[0].mask.dtype
((96, 96, 3), dtype('bool'))
"""

from fomoad.defects.kinds import KINDS
from fomoad.defects.make import CONTRASTS, SIZES, made_set, make_defect
from fomoad.defects.measure import Defect, extent

__all__ = ["CONTRASTS", "KINDS", "SIZES", "Defect", "extent", "made_set", "make_defect"]
