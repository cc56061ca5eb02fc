# docker build --tag realtime_proxy .
# docker run --publish 7999:7999 --env PUBLISH_KEY=… realtime_proxy
#
# A configuration of your own, and what of it matters here: docs/operations.md, "In a container".

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE routes.toml ./
COPY handlers handlers
COPY realtime_proxy realtime_proxy
RUN python -m venv /opt/realtime_proxy \
    && /opt/realtime_proxy/bin/pip install --no-cache-dir '.[redis]'

FROM python:3.13-slim
COPY --from=build /opt/realtime_proxy /opt/realtime_proxy
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent realtime_proxy
ENV PATH=/opt/realtime_proxy/bin:$PATH
WORKDIR /etc/realtime_proxy
COPY handlers handlers
COPY examples/docker/routes.toml ./
USER 10001
EXPOSE 7999 5561
# Asks `[admin] listen`; there is no curl in here.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5564/livez', timeout=2)"]
# No shell in between: TERM has to reach the program, which then lets its clients go.
ENTRYPOINT ["realtime-proxy"]
CMD ["run", "--config", "/etc/realtime_proxy/routes.toml"]
