#!/usr/bin/env bash
# Writes requirements.lock: every package of the image, for Linux on x86-64 and arm64, with the hashes of its files.
# Needs uv. Left out are packages that others ask for but nothing here imports: compilers, servers, cloud file systems,
# symbolic mathematics. tools/image/import_all.py and the container tests fail if that ceases to be true.
set -euo pipefail
cd "$(dirname "$0")/../.."
unused=(
  coloredlogs grpcio humanfriendly libclang markdown mpmath sympy tensorboard-data-server
  tensorflow-io-gcs-filesystem werkzeug wheel
)
# uv overlooks that backports-strenum 1.3.1 forbids Python 3.11, so it is told.
uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --custom-compile-command tools/image/lock.sh "${unused[@]/#/--no-emit-package=}" --output-file requirements.lock \
  < <(cat requirements.txt; echo 'backports-strenum<1.3.1')
