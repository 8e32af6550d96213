FROM python:3.11-slim-bookworm AS build
ARG REVISION=unknown
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements.txt requirements-build.txt ./
RUN python -m pip install --require-hashes --requirement requirements-build.txt \
    && python -m venv --without-pip /venv \
    && python -m pip --python /venv/bin/python install --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN echo "$REVISION" > exporter/REVISION \
    && python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && python -m pip --python /venv/bin/python install --no-deps /wheel/*.whl

FROM python:3.11-slim-bookworm
ARG REVISION=unknown
LABEL org.opencontainers.image.title="wlvpn-exporter" \
      org.opencontainers.image.description="A Prometheus exporter for the White Label VPN reseller API" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="$REVISION"
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /venv /venv
# The base image brings no compiled standard library, and a read-only container could not keep it:
# each start, and each health check, would take twice as long.
RUN python -m compileall -q -x '/(test|tests)/' /usr/local/lib/python3.11
USER 65532:65532
EXPOSE 11940
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/venv/bin/wlvpn-exporter", "healthcheck"]
ENTRYPOINT ["/venv/bin/wlvpn-exporter"]
