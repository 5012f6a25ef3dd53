#!/usr/bin/env bash
# Pins the Dockerfile's base to what its tag stands for today: a new Python 3.11 and new Debian packages. Needs a network
# and Docker with buildx. Build the image and run make test-container before it is committed.
set -euo pipefail
cd "$(dirname "$0")/../.."
tag=python:3.11-slim-bookworm
digest=$(docker buildx imagetools inspect "$tag" --format '{{.Manifest.Digest}}')
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "Docker gave no digest for $tag: $digest" >&2; exit 1; }
sed -i "s|^ARG BASE_IMAGE=.*|ARG BASE_IMAGE=$tag@$digest|" Dockerfile
echo "Dockerfile now builds on $tag@$digest"
