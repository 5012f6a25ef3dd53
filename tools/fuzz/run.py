"""Fuzzes a reader of bytes from elsewhere, guided by coverage: any input is read or refused by a UserError.

    pip install atheris
    python tools/fuzz/run.py TARGET FOLDER [-max_total_time=600 and other options of libFuzzer]

TARGET is one of tests/support/fuzz_targets.py. FOLDER collects inputs that reach new code, beginning with those of
tests/corpora/TARGET. An input that breaks a reader is written beside: fix the reader, and keep the input in the corpus.
"""

import shutil
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
with atheris.instrument_imports(
    include=["fomoad", "json", "zipfile", "PIL", "numpy.lib.format", "numpy.lib._format_impl"]
):
    from tests.support import fuzz_targets

if __name__ == "__main__":
    target, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for seed in sorted((ROOT / "tests" / "corpora" / target).iterdir()):
        shutil.copy(seed, folder / seed.name)
    options = [f"-artifact_prefix={folder}-found-", "-rss_limit_mb=2048", "-timeout=10", "-max_len=16384"]
    atheris.Setup(
        [sys.argv[0], str(folder), *options, *sys.argv[3:]], lambda content: fuzz_targets.run(target, content)
    )
    atheris.Fuzz()
