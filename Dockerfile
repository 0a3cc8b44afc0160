# One image for every part: the command line, the worker, the sandbox and Temporal's development server.
#
#   docker build --tag rollout .
#   docker run --rm rollout plan show plans/request-isolation.yaml
FROM python:3.12-slim-bookworm

WORKDIR /opt/rollout
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# What changes seldom first: the layer of dependencies is built anew only when the lock changes.
COPY requirements.lock ./
RUN python -m pip install --require-hashes --requirement requirements.lock

COPY . .
RUN python -m pip install --no-deps --no-build-isolation --editable . \
    && useradd --system --create-home --home-dir /var/lib/rollout rollout

# Data of the development servers; a volume mounted here belongs to the user below.
USER rollout
WORKDIR /var/lib/rollout
RUN mkdir data && ln -s /opt/rollout/plans plans

ENTRYPOINT ["rollout"]
CMD ["--help"]
