# dspamd on Debian 12, with the drivers of all stores: compiled in the first stage, run without a
# compiler in the second. etc/dspam.conf fits it, as /etc/dspam/dspam.conf.

FROM debian:12-slim AS build
COPY . /src
RUN /src/etc/install-packages build \
 && python3 -m venv /opt/dspamd \
 && /opt/dspamd/bin/pip install --no-cache-dir '/src[blacklists,ldap]'

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --home-dir /var/lib/dspam dspam \
 && install -d -o dspam -g dspam -m 0770 /var/lib/dspam \
 && install -d -o dspam -g dspam /run/dspam
COPY --from=build /opt/dspamd /opt/dspamd
ENV PATH=/opt/dspamd/bin:$PATH
USER dspam
VOLUME /var/lib/dspam
ENTRYPOINT ["/opt/dspamd/bin/dspamd", "--config", "/etc/dspam/dspam.conf"]
