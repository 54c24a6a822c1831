# dspamd on Debian 12, with the drivers of all stores: compiled in the first stage, run without a
# compiler in the second, by an account of its own, on a root that may be read-only.
# etc/dspam.conf fits it, as /etc/dspam/dspam.conf; etc/container/dspam.conf is for docker-compose.yml.
#
# dspamd copes with being process 1: it stops in order on SIGTERM, and releases orphans.

ARG BASE=debian:12-slim

FROM ${BASE} AS build
COPY . /src
RUN /src/etc/install-packages build \
 && python3 -m venv /opt/dspamd \
 && /opt/dspamd/bin/pip install --no-cache-dir '/src[blacklists,ldap]'

FROM ${BASE}
# The number of the account is that of our port, so that a host can give files to it.
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10033 --user-group --home-dir /var/lib/dspam dspam \
 && install -d -o dspam -g dspam -m 0770 /var/lib/dspam \
 && install -d -o dspam -g dspam /run/dspam
COPY --from=build /opt/dspamd /opt/dspamd
ENV PATH=/opt/dspamd/bin:$PATH
USER dspam
# All that is written; the rest of the root may be read-only.
VOLUME ["/var/lib/dspam", "/run/dspam"]
STOPSIGNAL SIGTERM
# It knows of storage and next hop if dspam.conf has MetricsListen, as etc/container/dspam.conf does.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s \
    CMD ["/opt/dspamd/bin/dspamd", "--config", "/etc/dspam/dspam.conf", "--health"]
ENTRYPOINT ["/opt/dspamd/bin/dspamd", "--config", "/etc/dspam/dspam.conf"]
