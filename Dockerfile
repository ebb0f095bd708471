# One image for the webserver, the daemon and the code location; `make install` made it.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install --yes --no-install-recommends make libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/convcg
COPY pyproject.toml README.md LICENSE Makefile workspace.yaml ./
COPY convcg_assets convcg_assets
COPY convcg_model convcg_model
COPY convcg_simulation convcg_simulation
COPY expectations expectations
ENV CONVCG_HOME=/var/lib/convcg DAGSTER_HOME=/var/lib/convcg/dagster
RUN make install dagster-home

ENV PATH=/opt/convcg/.venv/bin:$PATH
VOLUME /var/lib/convcg
EXPOSE 3000

# The webserver. The daemon:        docker run ... dagster-daemon run -w workspace.yaml
# The code location of its own:     docker run ... dagster code-server start -m convcg_assets.definitions -h 0.0.0.0 -p 4000
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "workspace.yaml"]
