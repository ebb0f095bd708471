# One image for all processes of convcg; docs/deployment.md says which command is which.
# Build: docker build -t convcg:0.1.0 .

# Pinned by version; whoever builds adds the digest: --build-arg PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# An index with builds of torch without CUDA, for machines without a GPU; else pip's own.
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
# What changes seldom comes first, so that a change of code installs convcg alone.
RUN python3 -m venv /opt/convcg/venv \
    && /opt/convcg/venv/bin/pip install ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} torch==2.13.0
COPY pyproject.toml README.md LICENSE ./
RUN mkdir -p convcg_assets convcg_model convcg_serving convcg_simulation expectations \
    && /opt/convcg/venv/bin/pip install ".[postgres,kubernetes]" \
    && /opt/convcg/venv/bin/pip uninstall --yes convcg
COPY convcg_assets convcg_assets
COPY convcg_model convcg_model
COPY convcg_serving convcg_serving
COPY convcg_simulation convcg_simulation
COPY expectations expectations
RUN /opt/convcg/venv/bin/pip install --no-deps .

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 convcg \
    && useradd --uid 10001 --gid convcg --no-create-home --home-dir /var/lib/convcg convcg \
    && install -d -o convcg -g convcg /var/lib/convcg /var/lib/dagster
COPY --from=build /opt/convcg/venv /opt/convcg/venv
COPY workspace.yaml /opt/convcg/workspace.yaml
COPY --chown=convcg:convcg convcg_assets/defs/dagster.yaml /var/lib/dagster/dagster.yaml
ENV PATH=/opt/convcg/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_WAIT_POLICY=PASSIVE \
    MLFLOW_DISABLE_TELEMETRY=true \
    MPLCONFIGDIR=/tmp/matplotlib \
    CONVCG_CACHE=/tmp/convcg \
    CONVCG_HOME=/var/lib/convcg \
    DAGSTER_HOME=/var/lib/dagster
WORKDIR /opt/convcg
USER 10001:10001
VOLUME ["/var/lib/convcg"]
EXPOSE 3000 4000 8080 9464
# Of the webserver, which runs by default; other commands have checks of their own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/server_info', timeout=4)"]
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "workspace.yaml"]
