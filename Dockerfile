# Two stages: the first installs the pinned dependencies, the second holds what runs.
# Bookworm for its FFmpeg 5.1: from 7 on each frame passes through several threads, which took
# 1.8 times the processor time (docs/performance.md).
FROM python:3.13-slim-bookworm AS dependencies
COPY requirements.lock /tmp/requirements.lock
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock

FROM python:3.13-slim-bookworm
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ffmpeg tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin realtime \
 && install --directory --owner realtime --mode 0700 /data
COPY --from=dependencies /opt/venv /opt/venv
COPY src /app/src
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app/src \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    DATA_DIR=/data \
    LOG_FORMAT=json
USER realtime
WORKDIR /data
EXPOSE 8080 1937
# FFmpeg processes are this process's children; tini reaps whatever is left behind.
ENTRYPOINT ["tini", "--"]
CMD ["python", "-m", "realtime_core", "serve"]
