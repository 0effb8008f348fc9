FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# What the server needs, into an environment without pip; and what builds the project, into this stage.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/lockstitch \
    && pip --python /opt/lockstitch install --require-hashes -r requirements.lock \
    && pip install --require-hashes -r requirements-build.lock

COPY LICENSE README.md pyproject.toml ./
COPY client/python/lockstitch client/python/lockstitch
COPY client/python/lockstitch_ui client/python/lockstitch_ui
COPY server/lockstitch_server server/lockstitch_server
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
    && pip --python /opt/lockstitch install --no-deps --no-index dist/*.whl \
    && install -d -o 65532 -g 65532 /data


FROM python:3.13-slim
LABEL org.opencontainers.image.title="Lockstitch" \
      org.opencontainers.image.description="A gRPC checkpoint server for agent workflows" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/lockstitch/lockstitch" \
      org.opencontainers.image.url="https://lockstitch.dev/"
ENV PATH=/opt/lockstitch/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOCKSTITCH_LISTEN=0.0.0.0:50051 \
    LOCKSTITCH_STORE=sqlite:////data/lockstitch.db

COPY --from=build /opt/lockstitch /opt/lockstitch
COPY --from=build --chown=65532:65532 /data /data

# The only place that is written to is /data: the root may be read-only.
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 50051
# Other machines can reach it: it starts with TLS and credentials, or with LOCKSTITCH_INSECURE=true. See docs/security.md.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["lockstitch", "health", "--local"]
ENTRYPOINT ["lockstitch"]
CMD ["serve"]
