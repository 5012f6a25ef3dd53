"""A bet against "no more images are flagged than was promised".

An e-process (Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference",
Statistical Science 2023, section 4): while each image is flagged with probability at most r, whatever came before, the
probability that the capital *ever* reaches 1 / a is at most a.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from fomoad.maintenance.martingale import Stakes

FACTORS: Final = np.array([1.5, 2.5, 6.0, 30.0])
"""How many times the odds of being flagged the bets take to have grown."""
SHARES: Final = np.full(len(FACTORS), 1 / len(FACTORS))


def highest_rate(images: int, reaching: int, doubt: float) -> float:
    """The rate of flagged normal images that a training of this many exceeds with a probability of `doubt` at most.

    The threshold lies just above all but `reaching` of the held-out scores, so the rate of new scores above it is
    beta-distributed over trainings: Beta(reaching + 1, images - reaching) (Vovk, "Conditional validity of inductive
    conformal predictors", ACML 2012, proposition 2a).

    >>> round(highest_rate(99, 0, 0.05), 4)
    0.0298
    """
    if reaching >= images:
        return 1.0
    return float(beta.ppf(1 - doubt, reaching + 1, images - reaching))


def take(
    stakes: Stakes, flagged: NDArray[np.bool_], rate: float, numbers: NDArray[np.int64], of: NDArray[np.bool_]
) -> None:
    """Take whether the image of each stream's number (S,) was flagged (S,), in the streams `of` (S,)."""
    odds = FACTORS * rate
    flag, passed = np.log(odds / (1 - rate + odds) / rate), -np.log(1 - rate + odds)
    stakes.bet(np.where(flagged[:, None], flag, passed), SHARES, numbers, of)
