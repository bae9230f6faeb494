# Two stages: pip's build environment stays out of the image. Runs without root; one image for every part.
FROM python:3.14.0-slim-trixie AS build
WORKDIR /srv/gatehouse
COPY requirements.txt .
RUN python -m venv /srv/venv && /srv/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt

FROM python:3.14.0-slim-trixie
ARG RELEASE=""
LABEL org.opencontainers.image.title="Gatehouse" \
    org.opencontainers.image.description="Accounts, sign-in and background jobs" \
    org.opencontainers.image.version=$RELEASE
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/gatehouse gatehouse
WORKDIR /srv/gatehouse
COPY --from=build /srv/venv /srv/venv
COPY app app
COPY migrations migrations
COPY wsgi.py gunicorn.conf.py run.py Procfile Procfile.dev ./
ENV PATH=/srv/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FLASK_APP=wsgi \
    ENVIRONMENT=production \
    HOST=0.0.0.0 \
    INSTANCE_PATH=/var/lib/gatehouse \
    RELEASE=$RELEASE
# No process can write compiled code here later.
RUN python -m compileall -q app migrations wsgi.py run.py gunicorn.conf.py
USER 10001
# Inside of a volume, if there is one: `flask backup backups/FILE` from the home folder.
RUN mkdir /var/lib/gatehouse/backups
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', 8000)}/healthz\", timeout=3)"]
# Web by default; the other commands are `flask jobs worker` and `flask db upgrade`.
CMD ["gunicorn", "wsgi:app"]
