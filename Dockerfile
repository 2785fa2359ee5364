# The image of dr. Whatever builds stays in the first stage; the second has Python's interpreter, dr, and no shell, no pip, no
# compiler. Every package is fetched by its hash (requirements/). Tags of base images can be moved: pin them by digest, as
#   docker build --build-arg RUNTIME=gcr.io/distroless/python3-debian12:nonroot@sha256:... .
ARG BUILD=python:3.11-slim-bookworm
ARG RUNTIME=gcr.io/distroless/python3-debian12:nonroot

FROM ${BUILD} AS build
WORKDIR /srv/build
COPY requirements/uv.txt requirements/build.txt requirements/run.txt requirements/
RUN python -m venv /srv/tools \
 && /srv/tools/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes \
    --only-binary :all: -r requirements/uv.txt -r requirements/build.txt
RUN /srv/tools/bin/uv pip install --quiet --python /srv/tools/bin/python --target /opt/dr/lib --require-hashes \
    --only-binary :all: --compile-bytecode -r requirements/run.txt
COPY pyproject.toml README.md ./
COPY dr dr
COPY runbooks runbooks
RUN /srv/tools/bin/python -m hatchling build -t wheel -d /srv/dist \
 && /srv/tools/bin/uv pip install --quiet --python /srv/tools/bin/python --target /opt/dr/lib --no-deps --no-index \
    --compile-bytecode /srv/dist/*.whl
# the scripts that packages bring name the interpreter of this stage: dr gets one of its own
RUN rm -rf /opt/dr/lib/bin && mkdir /opt/dr/bin \
 && printf '#!/usr/bin/python3\nfrom dr.cli.main import run\n\nrun()\n' > /opt/dr/bin/dr && chmod 755 /opt/dr/bin/dr

FROM ${RUNTIME}
LABEL org.opencontainers.image.title="dr" \
      org.opencontainers.image.description="Backup and disaster recovery that proves its recovery time and point" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/dr /opt/dr
# the root is read-only where it runs: bytecode was compiled above, HOME is a volume
ENV PATH=/opt/dr/bin:/usr/bin:/bin PYTHONPATH=/opt/dr/lib PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp LANG=C.UTF-8
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["/opt/dr/bin/dr"]
CMD ["--help"]
