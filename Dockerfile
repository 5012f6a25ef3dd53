# Builds with BuildKit and with the classic builder, on x86-64 and arm64.
# The digest pins the base to the byte, for all processors; tools/image/pin_base.sh renews it.
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE_IMAGE} AS packages
ARG BASE_IMAGE
RUN python -m venv /opt/fomoad
ENV PATH=/opt/fomoad/bin:$PATH
COPY requirements.lock /build/
# The lock names every package, so pip resolves nothing. Byte code is made below, of what runs only.
RUN pip install --no-cache-dir --no-compile --no-deps --only-binary :all: --require-hashes -r /build/requirements.lock
COPY tools/image/notices.py /build/
RUN pip uninstall --yes --quiet pip && python /build/notices.py > /opt/fomoad/THIRD_PARTY_NOTICES
# TensorFlow's C++ headers and the packages' own tests are never read.
RUN rm -rf /opt/fomoad/lib/python3*/site-packages/tensorflow/include \
    && find /opt/fomoad/lib/python3*/site-packages -type d \( -name tests -o -path '*/onnx/backend/test' \) -prune -exec rm -rf {} +
COPY tools/image/sbom.py /build/
RUN python /build/sbom.py --lock /build/requirements.lock --base "${BASE_IMAGE}" > /opt/fomoad/sbom.cdx.json
COPY tools/image/import_all.py /build/
RUN python /build/import_all.py

FROM packages AS weights
ARG REQUIRE_IMAGENET_WEIGHTS=0
COPY tools/image/fetch_weights.py fomoad/weights/SHA256SUMS /build/
RUN python /build/fetch_weights.py /opt/keras/models --required "${REQUIRE_IMAGENET_WEIGHTS}" --sums /build/SHA256SUMS

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="fomoad" \
      org.opencontainers.image.description="A learning block for visual anomaly detection: good images in, small models and a threshold out" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/fomoad/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    KERAS_HOME=/opt/keras
COPY --from=packages /opt/fomoad /opt/fomoad
COPY --from=weights /opt/keras /opt/keras
WORKDIR /app
COPY LICENSE THIRD_PARTY_NOTICES.md train.py ./
COPY fomoad ./fomoad
RUN python -m compileall -q fomoad train.py
ENTRYPOINT ["python", "/app/train.py"]
