# Two stages: pip's build environment stays out of the image. Runs without root; one image for every part.
FROM python:3.13-slim AS build
WORKDIR /srv/gatehouse
COPY requirements.txt .
RUN python -m venv /srv/venv && /srv/venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.txt

FROM python:3.13-slim
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
    INSTANCE_PATH=/var/lib/gatehouse
USER 10001
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
# Web by default; the other commands are `flask jobs worker` and `flask db upgrade`.
CMD ["gunicorn", "wsgi:app"]
