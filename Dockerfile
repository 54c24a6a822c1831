# dspamd on Debian 12: compiled in the first stage, run without a compiler in the second.

FROM debian:12-slim AS build
COPY . /src
RUN /src/etc/install-packages build \
 && python3 -m venv /opt/dspamd \
 && /opt/dspamd/bin/pip install --no-cache-dir /src

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --home-dir /var/spool/dspam --create-home dspam
COPY --from=build /opt/dspamd /opt/dspamd
USER dspam
VOLUME /var/spool/dspam
ENTRYPOINT ["/opt/dspamd/bin/dspamd", "--config", "/etc/dspam/dspam.conf"]
