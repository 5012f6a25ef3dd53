"""Report pages for tests in a browser: what their fixtures render, and what is read off them."""

from decimal import ROUND_HALF_UP, Decimal

from fomoad.evaluation.results import Results
from fomoad.metrics import image_metrics

ANOMALOUS = [True] * 20 + [False] * 45 + [None] * 5
DASH = "\N{EN DASH}"
SIDE = 48


def settle(page) -> None:
    """Wait until the page has drawn its state: it does so with the next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def set_slider(page, value: float) -> float:
    """Move the slider as a hand does; returns the threshold that it snapped to."""
    at = page.evaluate(
        """(value) => {
          const slider = document.getElementById("slider");
          slider.value = value;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
          return slider.valueAsNumber;
        }""",
        value,
    )
    settle(page)
    return at


def shown(page) -> dict[str, str]:
    return {name: page.locator(f"#live-{name}").inner_text() for name in ("precision", "recall", "f1", "wrong")}


def matrix(page) -> dict[str, int]:
    return {
        kind: int(page.locator(f'#matrix [data-kind="{kind}"] b').inner_text())
        for kind in ("hit", "miss", "alarm", "pass")
    }


def expected(tested: Results, threshold: float) -> image_metrics.Confusion:
    labelled = [image for image in tested.images if image.anomalous is not None]
    return image_metrics.confusion(
        [image.score for image in labelled], [bool(image.anomalous) for image in labelled], threshold
    )


def text(value: float | None) -> str:
    """Three decimals, a half rounded up as JavaScript's toFixed does, or a dash where there is no value."""
    if value is None:
        return DASH
    return str(Decimal(value).quantize(Decimal("0.001"), ROUND_HALF_UP))


def assert_figures(page, tested: Results, threshold: float) -> None:
    counts = expected(tested, threshold)
    assert matrix(page) == {
        "hit": counts.true_positives,
        "miss": counts.false_negatives,
        "alarm": counts.false_positives,
        "pass": counts.true_negatives,
    }
    wrong = counts.false_negatives + counts.false_positives
    assert shown(page) == {
        "precision": text(counts.precision),
        "recall": text(counts.recall),
        "f1": text(counts.f1),
        "wrong": f"{wrong} of 65",
    }
