"""The options of dspam.conf: one table, from which everything else about them follows.

A row says how an option is called, what its values look like, what holds when it
is absent, and what it is for.  The reader (`config`), the sample file and the
manual page (`manual`) walk the same rows, so nothing about an option is written
down twice.

Names, defaults and meanings are those of DSPAM 3.10.2 (reference/config.md 4);
its build-time switches (4.8) and what it did not have are options here, at the
end of the table.  `used=False` marks what is understood but has no effect (yet, or because
of what happens `instead`): the administrator is told at start.

No files are read here.
"""

from __future__ import annotations

from dataclasses import dataclass

from dspamd.config.option_types import (
    ADDRESS,
    CHARACTER,
    COMMAND,
    COUNT,
    DAYS,
    DRIVER,
    FEATURE,
    FLAG,
    HEADER,
    HOST,
    HOST_OR_SOCKET,
    IDENTITY,
    LOG_TARGET,
    MODE,
    NAME_SERVER,
    OWN_ADDRESS,
    PATH,
    PORT,
    SECONDS,
    SIZE,
    SOCKET,
    TEXT,
    ZONE,
    Kind,
    choice,
    familiar,
    number,
)
from dspamd.config.preferences import PREFERENCE, PREFERENCES


@dataclass(frozen=True, slots=True)
class Option:
    """One row.  `default` of a list is its words; `sample` are the lines of the sample file.

    `suffix` names what may follow the option after a dot ("profile", "domain",
    ...); a `bare` option may also stand without it.
    """

    name: str
    kind: Kind
    default: str
    sample: str = ""  # "# value": commented out; "": the default, commented out
    help: str = ""
    many: bool = False
    suffix: str = ""
    bare: bool = True
    used: bool = True
    instead: str = ""  # what makes an option needless that is not used

    @property
    def defaults(self) -> tuple[str, ...]:
        """The values that hold when the option is absent; an empty text where there is none."""
        if self.many:
            return tuple(map(self.kind.canonical, self.default.split()))
        return (self.kind.canonical(self.default) if self.default else "",)


_SAMPLE_PREFERENCES = """\
"trainingMode=TOE"
"spamAction=deliver"
"spamSubject=[SPAM]"
"statisticalSedation=0"
"enableBNR=on"
"enableWhitelist=on"
"signatureLocation=headers"
"tagSpam=off"
"tagNonspam=off"
"showFactors=off"
"optIn=off"
"optOut=off"
"whitelistThreshold=10"
"makeCorpus=off"
"storeFragments=off"
"localStore="
"processorBias=on"
"fallbackDomain=off"
"trainPristine=off"
"optOutClamAV=off"
"ignoreRBLLookups=off"
"RBLInoculate=off"
"notifications=off\""""


def _database(server: str, title: str, port: str) -> tuple[Option, ...]:
    """The options that reach an SQL server; `server` is the prefix of their names."""
    file = f"{server.removesuffix('Write').lower()}.data"
    kinds = (
        ("Server", HOST_OR_SOCKET, "", f"Host of the {title} server, or path of its socket.", "# localhost"),
        ("Port", number(0, 65535), port, "Its TCP port; 0 is the client's own default.", ""),
        ("User", TEXT, "", "Account to log in with.", "# dspam"),
        ("Pass", TEXT, "", f"Password; one with quotes and blanks goes into {file}.", "# changeme"),
        ("Db", TEXT, "", "Name of the database.", "# dspam"),
    )
    return tuple(
        Option(server + name, kind, default, sample, help_, suffix="profile")
        for name, kind, default, help_, sample in kinds
    )


def _virtual(server: str) -> tuple[Option, ...]:
    """The options that say how users and pooled connections are kept in an SQL server."""
    rows = (
        ("ConnectionCache", number(1, 10000), "3", "Connections that the daemon keeps open."),
        ("UIDInSignature", FLAG, "off", "Put the number of the user in front of signatures, with a comma."),
        ("VirtualTable", TEXT, "dspam_virtual_uids", "Table that gives users their numbers."),
        ("VirtualUIDField", TEXT, "uid", "Its column with the number."),
        ("VirtualUsernameField", TEXT, "username", "Its column with the name."),
    )
    return tuple(
        Option(server + name, kind, default, help=help_, suffix="profile")
        for name, kind, default, help_ in rows
    )


_UNCOMPRESSED = "the library that talks to the server cannot compress"

# Rows would take a screen each if laid out by the formatter.
# fmt: off
SECTIONS: dict[str, tuple[Option, ...]] = {
    "Where things are": (
        Option("Home", PATH, "", "/var/lib/dspam",
               help="Directory below which all files are kept. Required."),
        Option("StorageDriver", DRIVER, "", "sqlite3_drv",
               help="Storage: sqlite3_drv, hash_drv, mysql_drv or pgsql_drv; only the last part of a path "
                    "counts. Required by all that open the storage."),
        Option("TxtDirectory", PATH, "", "# /etc/dspam/txt",
               help="Templates of notices and tags; below Home in txt if absent."),
        Option("GroupConfig", PATH, "", "# /var/lib/dspam/group",
               help="File of groups; group below Home if absent."),
        Option("Include", PATH, "", "# /etc/dspam/dspam.d/", many=True,
               help="Read another file, a directory of *.conf files, or a pattern, here."),
    ),
    "Delivery": (
        Option("TrustedDeliveryAgent", COMMAND, "", '# "/usr/bin/procmail"',
               help="Delivers mail for trusted callers; arguments of the caller are appended. %u is the "
                    "user, %r the recipient, %s the sender. Where one of them begins with a hyphen, "
                    "mail is refused unless the word -- stands in front of it: write it if the program "
                    "knows it."),
        Option("UntrustedDeliveryAgent", COMMAND, "", '# "/usr/bin/procmail -d %u"',
               help="Delivers mail for all other callers."),
        Option("QuarantineAgent", COMMAND, "", '# "/usr/bin/procmail -d spam"',
               help="Receives spam that is to be quarantined, instead of the built-in mailbox."),
        Option("QuarantineMailbox", TEXT, "", "# +quarantine",
               help="Suffix for the local part of the recipient of spam."),
        Option("DeliveryHost", HOST_OR_SOCKET, "", "127.0.0.1", suffix="domain",
               help="Hand over to this host, or to the socket at this path, instead of an agent. With a "
                    "domain after a dot: for its recipients."),
        Option("DeliveryPort", PORT, "24", "10034", suffix="domain",
               help="Port of DeliveryHost."),
        Option("DeliveryIdent", TEXT, "localhost",
               help="Name we greet the next hop with."),
        Option("DeliveryProto", choice("SMTP", "LMTP"), "", "SMTP",
               help="Protocol spoken to DeliveryHost."),
        Option("DeliveryTLS", choice("off", "may", "require"), "off",
               help="Encrypt connections to DeliveryHost by STARTTLS: never, where it is offered, or always; "
                    "then the certificate must be valid, and for DeliveryHost. Sockets need none."),
        Option("DeliveryTLSCAFile", PATH, "", "# /etc/ssl/certs/our-ca.pem",
               help="Authorities that DeliveryTLS require trusts; those of the system if absent."),
        Option("OnFail", choice("error", "unlearn"), "error", "error",
               help="After a failed delivery: report it (error), or take back what was learned as well "
                    "(unlearn). Nothing is learned before a delivery, so both are the same."),
        Option("LMTPLDAErrorsPermanent", FLAG, "off",
               help="Every failure of a delivery agent is permanent."),
        Option("EnablePlusedDetail", FLAG, "off",
               help="Process user+detail as user."),
        Option("PlusedCharacter", CHARACTER, "+",
               help="What separates the detail."),
        Option("PlusedUserLowercase", FLAG, "off",
               help="Lower-case the user of a plus address."),
        Option("FallbackDomains", FLAG, "off",
               help="Users without preferences share those and the dictionary of @domain, if that allows "
                    "it."),
        Option("StripRcptDomain", FLAG, "off",
               help="LMTP: the user is the recipient without its domain."),
        Option("Broken", choice("returnCodes", "case", "lineStripping"), "", "# case", many=True,
               help="Work around the mail server: exit 99 for spam, lower-case users, strip carriage "
                    "returns."),
        Option("MaxMessageSize", SIZE, "0", "# 4M",
               help="Bigger messages are delivered unprocessed; 0: no limit."),
    ),
    "Trust and debugging": (
        Option("Trust", TEXT, "", "root\ndspam\nmail\nmailnull\nsmmsp\ndaemon", many=True,
               help="Accounts that may act for other users; the daemon's own must be there."),
        Option("Debug", TEXT, "", "# *", many=True,
               help="Users, or *, whose mail is logged in detail, to dspam.debug in LogDirectory."),
        Option("DebugOpt", choice("process", "classify", "spam", "fp", "inoculation", "corpus"), "",
               "# process", many=True,
               help="What Debug is limited to."),
    ),
    "Training and classification": (
        Option("TrainingMode", choice("teft", "toe", "tum", "notrain"), "teft", "toe",
               help="When mail is learned without being told to."),
        Option("TestConditionalTraining", FLAG, "off", "on",
               help="Accepted: a correction counts exactly once, as it did in the end with DSPAM too."),
        Option("Feature", FEATURE, "", "noise\nwhitelist", many=True,
               help="Noise reduction, automatic whitelist, sedation."),
        Option("Algorithm", choice("naive", "graham", "burton", "robinson", "chi-square"), "graham burton",
               "graham burton", many=True,
               help="How token probabilities become a verdict; any of several may say spam."),
        Option("Tokenizer", choice("word", "chain", "sbph", "osb", ranked=True, chained="chain"), "chain",
               "osb",
               help="How a message is cut into tokens."),
        Option("PValue", choice("bcr", "robinson", "markov", ranked=True, graham="bcr"), "bcr", "bcr",
               help="How hits become the probability of a token."),
        Option("ProcessorWordFrequency", choice("once", "occurrence"), "once", suffix="profile",
               help="Count a token once per message, or each time."),
        Option("ProcessorURLContext", FLAG, "off", "on", suffix="profile",
               help="Words of URLs are tokens of their own."),
        Option("ProcessorBias", FLAG, "off", "on", suffix="profile",
               help="Count innocent hits twice."),
        Option("TrainPristine", FLAG, "off",
               help="No signatures: corrections bring the original message."),
        Option("ClassAliasSpam", TEXT, "", "# badstuff",
               help="Another word for --class=spam."),
        Option("ClassAliasNonspam", TEXT, "", "# goodstuff",
               help="Another word for --class=innocent."),
        Option("ImprobabilityDrive", FLAG, "off",
               help="Add X-DSPAM-Improbability."),
        Option("DataSource", choice("mail", "document"), "mail",
               help="Input is mail, or text without headers."),
        Option("ParseToHeaders", FLAG, "off", "on",
               help="Mail to spam-USER and notspam-USER is a correction."),
        Option("RetrainAddress", choice("envelope", "original", "header"), "envelope",
               help="Where such an address stands. envelope: it is the recipient, or an alias made the "
                    "recipient USER of it and ORCPT tells. original: besides, the first X-Original-To, which "
                    "the mail server must write itself (Postfix: flags=O). header: DSPAM's rule, any To, "
                    "which the sender writes: mail for others is taken for a correction then."),
        Option("RetrainDomain", TEXT, "", "# example.org", many=True,
               help="Domains of such addresses; all if absent. Name yours where outgoing mail passes here: "
                    "spam-fighters at another domain is no address of ours."),
        Option("RetrainFrom", choice("local", "user", "any"), "local user", "# local", many=True,
               help="Who may correct by such an address. local: clients that the mail server vouches for, "
                    "as Postfix does by XFORWARD SOURCE=LOCAL (local_header_rewrite_clients names them): for "
                    "any user, and by a text without signature. user: whose address is the sender of the "
                    "envelope, for themselves; it keeps out whoever does not forge senders, or whom the mail "
                    "server refuses for it. any: everybody who knows a signature, as in DSPAM."),
        Option("RetrainedMail", choice("deliver", "drop"), "deliver", "drop",
               help="What becomes of mail to such an address that was carried out: the user gets it back, or "
                    "nobody."),
        Option("ChangeModeOnParse", FLAG, "off", "on",
               help="With ParseToHeaders: the address says the class."),
        Option("ChangeUserOnParse", choice("off", "on", "user", "full", no="off", false="off"), "off",
               "full",
               help="With ParseToHeaders: the address says the user, without (user) or with (full) "
                    "domain."),
    ),
    "Preferences": (
        Option("Preference", PREFERENCE, "", _SAMPLE_PREFERENCES, many=True,
               help="Preference of everybody who has none stored."),
        Option("AllowOverride", familiar("preference", PREFERENCES), "", "\n".join(PREFERENCES), many=True,
               help="Preference that users may set themselves."),
        Option("Opt", choice("out", "in"), "out", "out",
               help="Mail is filtered unless the user opted out, or only if the user opted in."),
    ),
    "Headers that are not tokens": (
        Option("IgnoreHeader", HEADER, "", "# X-Example", many=True,
               help="Header whose words are not learned."),
    ),
    "SQLite": (
        Option("SQLitePragma", TEXT, "", '# "synchronous = NORMAL"', many=True, suffix="profile",
               help="PRAGMA that is set on every connection."),
    ),
    "MySQL and MariaDB": (
        *_database("MySQL", "MySQL", "0"),
        Option("MySQLCompress", FLAG, "off", suffix="profile", used=False, instead=_UNCOMPRESSED,
               help="Compress the connection."),
        Option("MySQLReconnect", FLAG, "off", suffix="profile",
               help="Connect again by itself, which happens always."),
        *_database("MySQLWrite", "writing MySQL", "0"),
        Option("MySQLWriteCompress", FLAG, "off", suffix="profile", used=False, instead=_UNCOMPRESSED,
               help="Compress it."),
        Option("MySQLWriteReconnect", FLAG, "off", suffix="profile",
               help="Reconnect it, which happens always."),
        Option("MySQLReadSignaturesFromWriteDb", FLAG, "off", suffix="profile",
               help="Look signatures up where they are written."),
        *_virtual("MySQL"),
        Option("MySQLCreateSchema", FLAG, "on", suffix="profile",
               help="Make our table of corrections, and in an empty database those of DSPAM, too."),
    ),
    "PostgreSQL": (
        *_database("PgSQL", "PostgreSQL", "5432"),
        *_virtual("PgSQL"),
        Option("PgSQLCreateSchema", FLAG, "on", suffix="profile",
               help="Make our table of corrections, and in an empty database those of DSPAM, too."),
        Option("PgSQLPreparedStatements", FLAG, "on", suffix="profile",
               help="Off: for a pooler that gives each transaction another connection, such as pgbouncer "
                    "before 1.21."),
    ),
    "Hash files": (
        Option("HashRecMax", number(1, 2**31 - 1), "98317", "98317", suffix="profile",
               help="Records of a new file."),
        Option("HashAutoExtend", FLAG, "on", "on", suffix="profile",
               help="Let full files grow; else they lose tokens."),
        Option("HashMaxExtents", COUNT, "0", "0", suffix="profile",
               help="How often a file may grow; 0: always."),
        Option("HashExtentSize", number(1, 2**31 - 1), "49157", "49157", suffix="profile", used=False,
               instead="each extent follows from the one before it",
               help="Records of an extent added."),
        Option("HashPctIncrease", number(0, 100), "0", "10", suffix="profile",
               help="Growth of each extent over the last, in percent."),
        Option("HashMaxSeek", number(1, 2**31 - 1), "100", "10", suffix="profile",
               help="How many places behind its own a token may lie in an extent."),
        Option("HashConcurrentUser", TEXT, "", "# globaluser", suffix="profile", used=False,
               instead="files of all users stay open while they are in use",
               help="User whose file stays open."),
        Option("HashConnectionCache", number(1, 10000), "32", "32", suffix="profile",
               help="Files that a worker keeps open, each in some 2.4 MB of cache: opening one takes time."),
        Option("HashNoHoles", FLAG, "off", suffix="profile",
               help="Do not make sparse files, which those of more than 16 MB are."),
        Option("HashPow2", FLAG, "off", suffix="profile",
               help="Make extents of a power of two, not of a prime number of records."),
        Option("HashFallocate", FLAG, "off", suffix="profile",
               help="Reserve the blocks of an extent: the same as HashNoHoles."),
    ),
    "Storage profiles": (
        Option("Profile", TEXT, "", "# DECAlpha\n# Sun420R", many=True,
               help="Declares a profile: NAME in options such as HashRecMax.NAME."),
        Option("DefaultProfile", TEXT, "", "# DECAlpha",
               help="Profile in use."),
        Option("Failover", TEXT, "", "# Sun420R", suffix="profile", bare=False,
               help="Profile to use when that after the dot is out of order."),
        Option("FailoverAttempts", COUNT, "1",
               help="How often to fail over."),
    ),
    "Lookup of users": (
        Option("ExtLookup", FLAG, "off",
               help="Ask a directory or a program who a user is."),
        Option("ExtLookupMode", choice("verify", "map", "strict"), "verify",
               help="Verify names, replace them, or both."),
        Option("ExtLookupDriver", choice("ldap", "program"), "", "# ldap",
               help="What to ask."),
        Option("ExtLookupServer", TEXT, "", "# ldap.example.org",
               help="Directory server, or command line with %u."),
        Option("ExtLookupPort", PORT, "389",
               help="Port of the directory server."),
        Option("ExtLookupDB", TEXT, "", '# "ou=people,dc=example,dc=org"',
               help="Base of the search."),
        Option("ExtLookupQuery", TEXT, "", '# "(mail=%u)"',
               help="Filter of the search, with %u."),
        Option("ExtLookupLDAPAttribute", TEXT, "", "# uid",
               help="Attribute that holds the user."),
        Option("ExtLookupLDAPScope", choice("sub", "one", "base", subtree="sub"), "sub",
               help="Scope of the search: all below the base, its children, or the base alone."),
        Option("ExtLookupLDAPVersion", number(1, 3), "3",
               help="Protocol version."),
        Option("ExtLookupLogin", TEXT, "", '# "cn=dspam,dc=example,dc=org"',
               help="Name to bind with."),
        Option("ExtLookupPassword", TEXT, "", "# changeme",
               help="Password to bind with."),
        Option("ExtLookupCrypto", choice("none", "tls"), "none",
               help="Encrypt with StartTLS."),
        Option("ExtLookupTimeout", SECONDS, "10",
               help="Seconds to wait for an answer; mail waits if there is none."),
    ),
    "Blacklists, viruses, sources": (
        Option("Lookup", ZONE, "", "# rbl.example.org", many=True,
               help="DNS blacklist to ask for the source of a message."),
        Option("RBLInoculate", FLAG, "off",
               help="Learn what a blacklist lists as spam, and teach it to the user's inoculation groups."),
        Option("DNSServer", NAME_SERVER, "", "# 127.0.0.1",
               help="Name server to ask, as address or address:port; those of the system if absent."),
        Option("DNSTimeout", SECONDS, "5",
               help="Seconds to wait for a blacklist; one that does not answer is left alone for a minute."),
        Option("LocalMX", OWN_ADDRESS, "", "127.0.0.1", many=True, suffix="profile",
               help="Address of a host of ours, never the source."),
        Option("TrackSources", choice("spam", "nonspam", "virus"), "", "# spam nonspam virus", many=True,
               help="Log the source of such messages."),
        Option("RABLQueue", PATH, "", "# /var/spool/rabl",
               help="Directory in which TrackSources spam notes the sources of spam."),
        Option("ClamAVHost", HOST_OR_SOCKET, "", "# 127.0.0.1",
               help="Host of the virus scanner clamd, or the path of its socket."),
        Option("ClamAVPort", number(0, 65535), "0", "# 3310",
               help="Port of the virus scanner; 0: no scan, unless ClamAVHost is a path."),
        Option("ClamAVResponse", choice("accept", "reject", "spam", drop="accept"), "accept",
               help="A virus is dropped, refused, or treated as spam."),
        Option("ClamAVOnFailure", choice("accept", "defer"), "accept",
               help="While the virus scanner does not answer, mail passes unscanned, or waits. Mail above "
                    "its StreamMaxLength always passes."),
        Option("ClamAVTimeout", SECONDS, "60",
               help="Seconds to wait for the virus scanner."),
    ),
    "Notices, logs, statistics": (
        Option("Notifications", FLAG, "off", "off",
               help="Send notices to users."),
        Option("QuarantineWarnSize", SIZE, "2097152",
               help="Quarantine size that causes a notice."),
        Option("WebURL", TEXT, "", "# https://www.example.org/dspam",
               help="Address of the web pages, for the links that dspam_notify sends."),
        Option("WebStats", FLAG, "off", "on",
               help="Keep USER.stats for the web pages."),
        Option("SystemLog", FLAG, "off", "on",
               help="Keep Home/system.log."),
        Option("UserLog", FLAG, "off", "on",
               help="Keep USER.log, the history of a user."),
    ),
    "Purging (dspam_clean)": (
        Option("PurgeSignatures", DAYS, "", "14",
               help="Days after which signatures go; off: never."),
        Option("PurgeNeutral", DAYS, "", "90",
               help="Days without a hit after which tokens go that say nothing: probability 0.35 to 0.65."),
        Option("PurgeUnused", DAYS, "", "90",
               help="The same for all tokens, unless TrainingMode is toe or notrain. Off: nor do the "
                    "three below count."),
        Option("PurgeHapaxes", DAYS, "30", "30",
               help="The same for tokens with fewer than 5 hits, innocent ones counted twice."),
        Option("PurgeHits1S", DAYS, "15", "15",
               help="The same for tokens hit once, in spam."),
        Option("PurgeHits1I", DAYS, "15", "15",
               help="The same for tokens hit once, in innocent mail."),
        Option("PurgeInterval", number(0, 8760), "0", "# 24",
               help="Hours after which the daemon purges by itself, the stores of all profiles; 0: never,"
                    " dspam_clean is run instead."),
    ),
    "Server": (
        Option("ServerMode", choice("dspam", "standard", "auto"), "dspam", "auto",
               help="Speak the protocol of dspamc, LMTP, or whichever the client speaks."),
        Option("ServerHost", HOST, "", "127.0.0.1",
               help="Address to listen on; all if absent."),
        Option("ServerPort", PORT, "24", "10033",
               help="Port to listen on."),
        Option("ServerDomainSocketPath", SOCKET, "", "# /run/dspam/dspam.sock",
               help="Listen on this socket; on TCP then only if ServerHost is given."),
        Option("ServerQueueSize", number(1, 65535), "128",
               help="Connections that may wait to be accepted."),
        Option("ServerPID", PATH, "/var/run/dspam/dspam.pid",
               help="File with the number of the process."),
        Option("ServerIdent", TEXT, "localhost.localdomain",
               help="Name given in the answer to LHLO."),
        Option("ServerParameters", TEXT, "", '"--deliver=innocent,spam -d %u"',
               help="Options of dspam for mail that comes by LMTP."),
        Option("ServerPass", TEXT, "", "# secret", suffix="client", bare=False,
               help="Password of the client whose name follows the dot, for dspamc over the network. Whoever "
                    "knows it may act for every user, so the file must not be readable for everybody. On "
                    "ServerDomainSocketPath none is needed: there the kernel says which account is calling."),
    ),
    "Client (dspamc, dspam --client)": (
        Option("ClientHost", HOST_OR_SOCKET, "", "# /run/dspam/dspam.sock",
               help="Host of the daemon, or the path of its socket."),
        Option("ClientPort", PORT, "24",
               help="Port of the daemon."),
        Option("ClientIdent", IDENTITY, "", "# secret@Relay1",
               help="password@name, as in ServerPass.name of the daemon; not needed if ClientHost is a "
                    "socket."),
    ),
    "Limits and sockets": (
        Option("ServerWorkers", number(0, 256), "0",
               help="Processes that share the work; 0: one for each processor."),
        Option("ServerUser", TEXT, "", "# dspam",
               help="Account under which they work, if root starts the daemon."),
        Option("ServerGroup", TEXT, "", "# dspam",
               help="Its group; that of ServerUser if absent."),
        Option("ServerMaxConnections", number(1, 100000), "200",
               help="Connections served at the same time, by all workers together; others are told to try "
                    "again later."),
        Option("ServerMaxMemory", SIZE, "256M",
               help="Bytes of messages held at the same time, by all workers together; processing takes ten "
                    "times as much memory. Further messages are told to come later. 0: no limit."),
        Option("ServerMaxMessageSize", SIZE, "100M",
               help="Bigger messages are refused; keep it above the limit of the mail server. 0: no "
                    "limit."),
        Option("ServerTimeout", SECONDS, "300",
               help="Seconds to wait for a client."),
        Option("DeliveryTimeout", SECONDS, "300",
               help="Seconds to wait for the next hop or a delivery agent."),
        Option("DeliveryConnections", number(1, 10000), "100",
               help="Connections to each next hop at the same time, by all workers together; further "
                    "messages wait for one, at most DeliveryTimeout. One whose message is not answered is "
                    "taken for ten minutes. Keep it below what the next hop serves (Postfix: its process "
                    "limit)."),
        Option("StorageTimeout", SECONDS, "30",
               help="Seconds to wait for the storage."),
        Option("SocketMode", MODE, "0660",
               help="Who may connect to ServerDomainSocketPath. Mail servers, and users who call dspamc, are "
                    "to be members of its group; 0666 lets everybody call dspamc, each for their own "
                    "account."),
        Option("SocketOwner", TEXT, "", "# dspam:mail",
               help="Its owner, as user or user:group; those of ServerUser and ServerGroup if absent."),
        Option("SocketLMTP", TEXT, "postfix Debian-exim exim", many=True,
               help="Mail servers: accounts that may speak LMTP on ServerDomainSocketPath, which is to "
                    "deliver mail to anybody; so may root, the daemon's own account and those of Trust. *: "
                    "everybody. Who may not is told to come later. dspamc needs no such right."),
    ),
    "Behaviour": (
        Option("OnStorageFailure", choice("defer", "deliver"), "defer",
               help="While the storage is down, mail is kept back, or delivered unfiltered."),
        Option("OnFilterFailure", choice("pass", "tempfail"), "pass",
               help="What dspam and dspamc print where mail is asked for (--stdout) and cannot be filtered: "
                    "the mail as it came, with status 0; or nothing, with status 75 (see --fail)."),
        Option("StrictCompatibility", FLAG, "off",
               help="Do what DSPAM 3.10.2 did even where it was wrong."),
        Option("CorrectionFailureExit", number(0, 255), "1",
               help="Exit status of a correction that failed."),
        Option("TrustedUserSecurity", FLAG, "on",
               help="Off: every account is trusted."),
        Option("DirectoryLayout", choice("normal", "large", "domain"), "normal",
               help="How directories of users are spread: not (data/bob), by their first letters "
                    "(data/b/o/bob), by domain (data/example.org/bob). Unset, the files that are there tell; "
                    "set otherwise than these lie, it stops the start."),
        Option("HomeDirectories", FLAG, "off", used=False,
               instead="files stay below Home, where users cannot lead us elsewhere",
               help="Keep files of users in their home directories."),
        Option("LongUsernames", FLAG, "on",
               help="dspam_stats shows each user in two lines, so that long names have room."),
        Option("VirtualUsers", FLAG, "on", used=False,
               instead="mail accounts need no accounts of the system",
               help="Numbers of users come from a table, not from the accounts."),
        Option("PreferencesInDatabase", FLAG, "on", used=False,
               instead="each store keeps preferences where DSPAM's driver did",
               help="SQL databases keep the preferences too."),
    ),
    "Log of the daemon": (
        Option("LogLevel", choice("debug", "info", "warning", "error"), "info",
               help="What is worth a line."),
        Option("LogFormat", choice("logfmt", "json"), "logfmt",
               help="What a line looks like."),
        Option("LogTarget", LOG_TARGET, "stderr",
               help="stderr, syslog, or the path of a file."),
        Option("LogDirectory", PATH, "", "# /var/log/dspam",
               help="Where dspam.debug is, and LogTarget unless its path is absolute; log below Home if "
                    "absent."),
        Option("MetricsListen", ADDRESS, "", "# 127.0.0.1:9424",
               help="Address at which /metrics and /healthz answer by HTTP; not for the world to see."),
    ),
}
# fmt: on

OPTIONS: dict[str, Option] = {option.name.lower(): option for rows in SECTIONS.values() for option in rows}

# Words of older releases, and what became of them (config.md 4.7).
RETIRED: dict[str, str] = {
    "sblqueue": "RABLQueue",
    "purgesignature": "PurgeSignatures",
    "supresswebstats": "WebStats",
    "suppresswebstats": "WebStats",
    "mysqlsupressquote": "",
}
