"""Which class names mean a defect and which a good part."""

from collections.abc import Sequence

from fomoad.errors import UserError

ANOMALY_NAMES = ("anomaly",)
NORMAL_NAMES = ("no anomaly", "normal", "good", "ok")
"""Known without being told; compared without case."""


def anomalous_flags(
    labels: Sequence[str | None], anomaly_names: Sequence[str] = (), normal_names: Sequence[str] = ()
) -> list[bool | None]:
    """Return for each label whether it means an anomaly; None stays None.

    `anomaly_names` and `normal_names` are given by the user and outrank the known names. If one name remains
    unknown and all others are of one kind, it is of the other kind ("good" and "broken").

    Raises UserError for a name given as both, and for labels of unknown kind.
    """
    kinds = {_key(name): False for name in NORMAL_NAMES} | {_key(name): True for name in ANOMALY_NAMES}
    given_anomaly, given_normal = {_key(name) for name in anomaly_names}, {_key(name) for name in normal_names}
    for name in sorted(given_anomaly & given_normal):
        raise UserError(f"The label '{name}' is given as --anomaly-label and as --normal-label: choose one.")
    kinds |= dict.fromkeys(given_normal, False) | dict.fromkeys(given_anomaly, True)

    present = {_key(label): label for label in labels if label is not None}
    unknown = sorted(present.keys() - kinds.keys())
    known_kinds = {kinds[key] for key in present.keys() & kinds.keys()}
    if len(unknown) == 1 and len(known_kinds) == 1:
        kinds[unknown[0]] = not known_kinds.pop()
    elif unknown:
        names = ", ".join(f"'{present[key]}'" for key in unknown[:10])
        raise UserError(
            f"It is unknown whether the label {names} means a defect or a good part: "
            "say it with --anomaly-label NAME or --normal-label NAME, once for each name."
        )
    return [None if label is None else kinds[_key(label)] for label in labels]


def means_anomaly(label: str) -> bool:
    """Whether a label is one of the known names of an anomaly."""
    return _key(label) in {_key(name) for name in ANOMALY_NAMES}


def means_normal(name: str, normal_names: Sequence[str] = ()) -> bool:
    """Return whether a name is one of good parts: known as such, or given in `normal_names`."""
    return _key(name) in {_key(known) for known in (*NORMAL_NAMES, *normal_names)}


def _key(name: str) -> str:
    """A name as it is compared: without case, surrounding space, or the kind of separator between words."""
    return " ".join(name.replace("_", " ").replace("-", " ").split()).casefold()
