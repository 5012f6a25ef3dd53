"""Which class names mean a defect and which a good part: those known to all, and those that a user says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fomoad.data.info_file import read_json
from fomoad.errors import UserError

ANOMALY_NAMES: Final = (
    "anomaly", "anomalous", "abnormal", "defect", "defective", "bad", "fail", "failed", "faulty", "nok", "not ok",
    "ng", "nio", "reject", "rejected", "1",
)  # fmt: skip
NORMAL_NAMES: Final = (
    "no anomaly", "normal", "non anomalous", "nominal", "good", "ok", "okay", "io", "pass", "passed", "perfect",
    "defect free", "no defect", "no defects", "non defective", "not defective", "accept", "accepted", "0",
)  # fmt: skip
"""Known without being told; compared without case, and with any separator between words."""

LABELS_FILE: Final = "labels.json"
"""The label map that is kept with the data."""
NORMAL, ANOMALY = "no anomaly", "anomaly"


@dataclass(frozen=True)
class LabelNames:
    """Class names that the user says the meaning of. They outrank the known names."""

    anomaly: Sequence[str] = ()
    normal: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Raise UserError for a name that is given as both."""
        both = {_key(name) for name in self.anomaly} & {_key(name) for name in self.normal}
        if both:
            raise UserError(f"The label '{min(both)}' is given as an anomaly and as normal: choose one.")

    def kinds(self) -> dict[str, bool]:
        """Whether each known or given name means an anomaly."""
        known = dict.fromkeys(map(_key, NORMAL_NAMES), False) | dict.fromkeys(map(_key, ANOMALY_NAMES), True)
        return known | dict.fromkeys(map(_key, self.normal), False) | dict.fromkeys(map(_key, self.anomaly), True)

    def as_map(self) -> dict[str, str]:
        """The given names as the content of a label map."""
        return dict.fromkeys(self.normal, NORMAL) | dict.fromkeys(self.anomaly, ANOMALY)

    def over(self, other: "LabelNames") -> "LabelNames":
        """These names, and those of `other` that these say nothing of."""
        mine = {_key(name) for name in (*self.anomaly, *self.normal)}
        return LabelNames(
            (*self.anomaly, *(name for name in other.anomaly if _key(name) not in mine)),
            (*self.normal, *(name for name in other.normal if _key(name) not in mine)),
        )

    def means_normal(self, name: str) -> bool:
        """Return whether a name is one of good parts.

        >>> LabelNames().means_normal("Non_Defective")
        True
        """
        return self.kinds().get(_key(name)) is False


def read_label_map(path: Path) -> LabelNames:
    """The names of a label map: JSON such as `{"scratch": "anomaly", "fine": "no anomaly"}`.

    Raises UserError where the file is missing or damaged, or says neither for a name.
    """
    content = read_json(path)
    known = LabelNames().kinds()
    if not isinstance(content, dict) or not all(isinstance(v, str) and _key(v) in known for v in content.values()):
        raise UserError(
            f"{path} is not a label map: it must be JSON such as "
            f'{{"scratch": "{ANOMALY}", "fine": "{NORMAL}"}}, a meaning for each label.'
        )
    anomalous = {name: known[_key(meaning)] for name, meaning in content.items()}
    return LabelNames([n for n, flag in anomalous.items() if flag], [n for n, flag in anomalous.items() if not flag])


def kept_label_names(data_directory: Path) -> LabelNames:
    """The names of the label map that is kept with the data; none where there is no such file."""
    path = data_directory / LABELS_FILE
    return read_label_map(path) if path.is_file() else LabelNames()


def anomalous_flags(labels: Sequence[str | None], names: LabelNames | None = None) -> list[bool | None]:
    """Return for each label whether it means an anomaly; None stays None.

    If one name remains unknown and all others are of one kind, it is of the other kind ("good" and "broken").

    Raises UserError for labels of unknown kind.
    """
    kinds = (names or LabelNames()).kinds()
    present = {_key(label): label for label in labels if label is not None}
    unknown = sorted(present.keys() - kinds.keys())
    known_kinds = {kinds[key] for key in present.keys() & kinds.keys()}
    if len(unknown) == 1 and len(known_kinds) == 1:
        kinds[unknown[0]] = not known_kinds.pop()
    elif unknown:
        shown = ", ".join(f"'{present[key]}'" for key in unknown[:10])
        raise UserError(
            f"It is unknown whether the label {shown} means a defect or a good part: say it in a label map (--labels "
            f'FILE, or {LABELS_FILE} in the data directory) such as {{"{present[unknown[0]]}": "{ANOMALY}"}}.'
        )
    return [None if label is None else kinds[_key(label)] for label in labels]


def only_unknown(labels: Sequence[str | None], names: LabelNames) -> str | None:
    """The label of all labelled images, where there is only one and nothing says what it means."""
    present = {_key(label): label for label in labels if label is not None}
    unknown = present.keys() - names.kinds().keys()
    return present[min(unknown)] if len(present) == len(unknown) == 1 else None


def _key(name: str) -> str:
    """A name as it is compared: without case, surrounding space, or the kind of separator between words."""
    return " ".join(name.replace("_", " ").replace("-", " ").split()).casefold()
