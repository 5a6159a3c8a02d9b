# The service with its engine, for NVIDIA GPUs. torch's packages bring CUDA and cuDNN along, so the base is plain Python
# and the host gives only the driver. x86-64. For a machine without a GPU there is Dockerfile.cpu.

FROM python:3.11-slim-bookworm AS packages
COPY requirements/engine.txt /requirements/
# What is removed is only for compiling against torch and CUDA.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes -r /requirements/engine.txt \
    && rm -rf /opt/venv/lib/python3.11/site-packages/torch/include \
    && find /opt/venv -name '*.a' -delete

FROM node:24-bookworm-slim AS page
WORKDIR /source/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci
COPY web ./
RUN npm run build

FROM python:3.11-slim-bookworm AS service
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY whisperx_api whisperx_api
COPY --from=page /source/whisperx_api/page whisperx_api/page
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 whisperx \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin whisperx \
    && install --directory --owner=10001 --group=10001 /data /models

# The packages are large and change seldom: a layer of their own, which an upgrade of the service leaves as it is.
COPY --from=packages /opt/venv /opt/venv
RUN --mount=type=bind,from=service,source=/dist,target=/dist \
    /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl

# ctranslate2 looks for CUDA's libraries by name; torch's packages keep them outside the system's folders.
ENV PATH=/opt/venv/bin:$PATH \
    LD_LIBRARY_PATH=/opt/venv/lib/python3.11/site-packages/nvidia/cublas/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cudnn/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib:/opt/venv/lib/python3.11/site-packages/nvidia/cuda_runtime/lib \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    HF_HOME=/models/.cache/huggingface \
    TORCH_HOME=/models/.cache/torch \
    DEVICE=cuda \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data \
    MODEL_DIR=/models

WORKDIR /data
VOLUME ["/data", "/models"]
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=8)"]

ENTRYPOINT ["whisperx-api"]
CMD ["serve"]

# What differs in every build comes last, so that nothing above is made anew.
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="whisperx-api" \
      org.opencontainers.image.description="Self-hosted transcription on an NVIDIA GPU" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
