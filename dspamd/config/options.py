"""The options of dspam.conf: one table, from which everything else about them follows.

A row is an attribute (`dspamd.config.option`): its name is that of the option, its class says what
type the value has, its arguments what the words in the file look like, what holds when it is
absent, and what it is for.  The parser (`config`), the sample file and the manual page (`manual`)
use the same rows, so nothing about an option is written down twice.

Names, defaults and meanings are those of DSPAM 3.10.2 (reference/config.md 4);
its build-time switches (4.8) and what it did not have are options here, at the
end of the table.  `used=False` marks an option that the parser understands and that has no
effect (yet, or because of what happens `instead`): the daemon warns of it at start.

No files are read here.
"""

from __future__ import annotations

from typing import Any

from dspamd.config.option import Days, Flag, Number, Option, Text, Words
from dspamd.config.option_types import (
    ADDRESS,
    CHARACTER,
    COMMAND,
    COUNT,
    DRIVER,
    FEATURE,
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
    choice,
    familiar,
    number,
)
from dspamd.config.preferences import PREFERENCE, PREFERENCES
from dspamd.engine.model import Mode
from dspamd.engine.scorers import SCORERS

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


# Rows would take a screen each if laid out by the formatter.
# fmt: off
def _database(title: str, port: str, file: str) -> tuple[Text, Number, Text, Text, Text]:
    """The options that reach an SQL server: Server, Port, User, Pass, Db."""
    return (
        Text(HOST_OR_SOCKET, "", "# localhost", suffix="profile",
            help=f"Host of the {title} server, or path of its socket."),
        Number(number(0, 65535), port, suffix="profile",
            help="Its TCP port; 0 is the client's own default."),
        Text(TEXT, "", "# dspam", suffix="profile",
            help="Account to log in with."),
        Text(TEXT, "", "# changeme", suffix="profile",
            help=f"Password; one with quotes and blanks goes into {file}."),
        Text(TEXT, "", "# dspam", suffix="profile",
            help="Name of the database."),
    )


def _pooled() -> tuple[Number, Flag]:
    """The options ConnectionCache and UIDInSignature of an SQL server."""
    return (
        Number(number(1, 10000), "3", suffix="profile",
            help="Connections that the daemon keeps open."),
        Flag("off", suffix="profile",
            help="Put the number of the user in front of signatures, with a comma."),
    )


def _virtual() -> tuple[Text, Text, Text]:
    """The options of the table of users: VirtualTable, VirtualUIDField, VirtualUsernameField."""
    return (
        Text(TEXT, "dspam_virtual_uids", suffix="profile",
            help="Table that gives users their numbers."),
        Text(TEXT, "uid", suffix="profile",
            help="Its column with the number."),
        Text(TEXT, "username", suffix="profile",
            help="Its column with the name."),
    )


_UNCOMPRESSED = "the library that talks to the server cannot compress"

class Places:
    Home = Text(PATH, "", "/var/lib/dspam",
        help="Directory below which all files are kept. Required.")
    StorageDriver = Text(DRIVER, "", "sqlite3_drv",
        help="Storage: sqlite3_drv, hash_drv, mysql_drv or pgsql_drv; only the last part of a path "
             "counts. Required by all that open the storage.")
    TxtDirectory = Text(PATH, "", "# /etc/dspam/txt",
        help="Templates of notices and tags; below Home in txt if absent.")
    GroupConfig = Text(PATH, "", "# /var/lib/dspam/group",
        help="File of groups; group below Home if absent.")
    Include = Words(PATH, "", "# /etc/dspam/dspam.d/",
        help="Read another file, a directory of *.conf files, or a pattern, here.")


class Delivery:
    TrustedDeliveryAgent = Text(COMMAND, "", '# "/usr/bin/procmail"',
        help="Delivers mail for trusted callers; arguments of the caller are appended. %u is the "
             "user, %r the recipient, %s the sender. Where one of them begins with a hyphen, "
             "mail is refused unless the word -- stands in front of it: write it if the program "
             "knows it.")
    UntrustedDeliveryAgent = Text(COMMAND, "", '# "/usr/bin/procmail -d %u"',
        help="Delivers mail for all other callers.")
    QuarantineAgent = Text(COMMAND, "", '# "/usr/bin/procmail -d spam"',
        help="Receives spam that is to be quarantined, instead of the built-in mailbox.")
    QuarantineMailbox = Text(TEXT, "", "# +quarantine",
        help="Suffix for the local part of the recipient of spam.")
    DeliveryHost = Text(HOST_OR_SOCKET, "", "127.0.0.1", suffix="domain",
        help="Hand over to this host, or to the socket at this path, instead of an agent. With a "
             "domain after a dot: for its recipients.")
    DeliveryPort = Number(PORT, "24", "10034", suffix="domain",
        help="Port of DeliveryHost.")
    DeliveryIdent = Text(TEXT, "localhost",
        help="Name we greet the next hop with.")
    DeliveryProto = Text(choice("SMTP", "LMTP"), "", "SMTP",
        help="Protocol spoken to DeliveryHost.")
    DeliveryTLS = Text(choice("off", "may", "require"), "off",
        help="Encrypt connections to DeliveryHost by STARTTLS: never, where it is offered, or always; "
             "then the certificate must be valid, and for DeliveryHost. Sockets need none.")
    DeliveryTLSCAFile = Text(PATH, "", "# /etc/ssl/certs/our-ca.pem",
        help="Authorities that DeliveryTLS require trusts; those of the system if absent.")
    OnFail = Text(choice("error", "unlearn"), "error", "error",
        help="After a failed delivery: report it (error), or take back what was learned as well "
             "(unlearn). Nothing is learned before a delivery, so both are the same.")
    LMTPLDAErrorsPermanent = Flag("off",
        help="Every failure of a delivery agent is permanent.")
    EnablePlusedDetail = Flag("off",
        help="Process user+detail as user.")
    PlusedCharacter = Text(CHARACTER, "+",
        help="What separates the detail.")
    PlusedUserLowercase = Flag("off",
        help="Lower-case the user of a plus address.")
    FallbackDomains = Flag("off",
        help="Users without preferences share those and the dictionary of @domain, if that allows "
             "it.")
    StripRcptDomain = Flag("off",
        help="LMTP: the user is the recipient without its domain.")
    Broken = Words(choice("returnCodes", "case", "lineStripping"), "", "# case",
        help="Work around the mail server: exit 99 for spam, lower-case users, strip carriage "
             "returns.")
    MaxMessageSize = Number(SIZE, "0", "# 4M",
        help="Bigger messages are delivered unprocessed; 0: no limit.")


class Trusted:
    Trust = Words(TEXT, "", "root\ndspam\nmail\nmailnull\nsmmsp\ndaemon",
        help="Accounts that may act for other users; the daemon's own must be there.")
    Debug = Words(TEXT, "", "# *",
        help="Users, or *, whose mail is logged in detail, to dspam.debug in LogDirectory.")
    DebugOpt = Words(choice("process", "classify", "spam", "fp", "inoculation", "corpus"), "",
        "# process",
        help="What Debug is limited to.")


class Training:
    TrainingMode = Text(choice(*[mode.value for mode in Mode]), "teft", "toe",
        help="When mail is learned without being told to.")
    TestConditionalTraining = Flag("off", "on",
        help="Accepted: a correction counts exactly once, as it did in the end with DSPAM too.")
    Feature = Words(FEATURE, "", "noise\nwhitelist",
        help="Noise reduction, automatic whitelist, sedation.")
    Algorithm = Words(choice(*SCORERS), "graham burton",
             "graham burton",
        help="How token probabilities become a verdict; any of several may say spam.")
    Tokenizer = Text(choice("word", "chain", "sbph", "osb", ranked=True, chained="chain"), "chain",
             "osb",
        help="How a message is cut into tokens.")
    PValue = Text(choice("bcr", "robinson", "markov", ranked=True, graham="bcr"), "bcr", "bcr",
        help="How hits become the probability of a token.")
    ProcessorWordFrequency = Text(choice("once", "occurrence"), "once", suffix="profile",
        help="Count a token once per message, or each time.")
    ProcessorURLContext = Flag("off", "on", suffix="profile",
        help="Words of URLs are tokens of their own.")
    ProcessorBias = Flag("off", "on", suffix="profile",
        help="Count innocent hits twice.")
    TrainPristine = Flag("off",
        help="No signatures: corrections bring the original message.")
    ClassAliasSpam = Text(TEXT, "", "# badstuff",
        help="Another word for --class=spam.")
    ClassAliasNonspam = Text(TEXT, "", "# goodstuff",
        help="Another word for --class=innocent.")
    ImprobabilityDrive = Flag("off",
        help="Add X-DSPAM-Improbability.")
    DataSource = Text(choice("mail", "document"), "mail",
        help="Input is mail, or text without headers.")
    ParseToHeaders = Flag("off", "on",
        help="Mail to spam-USER and notspam-USER is a correction.")
    RetrainAddress = Text(choice("envelope", "original", "header"), "envelope",
        help="Where such an address stands. envelope: it is the recipient, or an alias made the "
             "recipient USER of it and ORCPT tells. original: besides, the first X-Original-To, which "
             "the mail server must write itself (Postfix: flags=O). header: DSPAM's rule, any To, "
             "which the sender writes: mail for others is taken for a correction then.")
    RetrainDomain = Words(TEXT, "", "# example.org",
        help="Domains of such addresses; all if absent. Name yours where outgoing mail passes here: "
             "spam-fighters at another domain is no address of ours.")
    RetrainFrom = Words(choice("local", "user", "any"), "local user", "# local",
        help="Who may correct by such an address. local: clients that the mail server vouches for, "
             "as Postfix does by XFORWARD SOURCE=LOCAL (local_header_rewrite_clients names them): for "
             "any user, and by a text without signature. user: whose address is the sender of the "
             "envelope, for themselves; it keeps out whoever does not forge senders, or whom the mail "
             "server refuses for it. any: everybody who knows a signature, as in DSPAM.")
    RetrainedMail = Text(choice("deliver", "drop"), "deliver", "drop",
        help="What becomes of mail to such an address that was carried out: the user gets it back, or "
             "nobody.")
    ChangeModeOnParse = Flag("off", "on",
        help="With ParseToHeaders: the address says the class.")
    ChangeUserOnParse = Text(choice("off", "on", "user", "full", no="off", false="off"), "off",
        "full",
        help="With ParseToHeaders: the address says the user, without (user) or with (full) "
             "domain.")


class Preferences:
    Preference = Words(PREFERENCE, "", _SAMPLE_PREFERENCES,
        help="Preference of everybody who has none stored.")
    AllowOverride = Words(familiar("preference", PREFERENCES), "", "\n".join(PREFERENCES),
        help="Preference that users may set themselves.")
    Opt = Text(choice("out", "in"), "out", "out",
        help="Mail is filtered unless the user opted out, or only if the user opted in.")


class Headers:
    IgnoreHeader = Words(HEADER, "", "# X-Example",
        help="Header whose words are not learned.")


class SQLite:
    SQLitePragma = Words(TEXT, "", '# "synchronous = NORMAL"', suffix="profile",
        help="PRAGMA that is set on every connection.")


class MySQL:
    MySQLServer, MySQLPort, MySQLUser, MySQLPass, MySQLDb = _database(
        "MySQL", "0", "mysql.data"
    )
    MySQLCompress = Flag("off", suffix="profile", used=False, instead=_UNCOMPRESSED,
        help="Compress the connection.")
    MySQLReconnect = Flag("off", suffix="profile",
        help="Connect again by itself, which happens always.")
    MySQLWriteServer, MySQLWritePort, MySQLWriteUser, MySQLWritePass, MySQLWriteDb = _database(
        "writing MySQL", "0", "mysql.data"
    )
    MySQLWriteCompress = Flag("off", suffix="profile", used=False, instead=_UNCOMPRESSED,
        help="Compress it.")
    MySQLWriteReconnect = Flag("off", suffix="profile",
        help="Reconnect it, which happens always.")
    MySQLReadSignaturesFromWriteDb = Flag("off", suffix="profile",
        help="Look signatures up where they are written.")
    MySQLConnectionCache, MySQLUIDInSignature = _pooled()
    MySQLVirtualTable, MySQLVirtualUIDField, MySQLVirtualUsernameField = _virtual()
    MySQLCreateSchema = Flag("on", suffix="profile",
        help="Make our table of corrections, and in an empty database those of DSPAM, too.")


class PostgreSQL:
    PgSQLServer, PgSQLPort, PgSQLUser, PgSQLPass, PgSQLDb = _database(
        "PostgreSQL", "5432", "pgsql.data"
    )
    PgSQLConnectionCache, PgSQLUIDInSignature = _pooled()
    PgSQLVirtualTable, PgSQLVirtualUIDField, PgSQLVirtualUsernameField = _virtual()
    PgSQLCreateSchema = Flag("on", suffix="profile",
        help="Make our table of corrections, and in an empty database those of DSPAM, too.")
    PgSQLPreparedStatements = Flag("on", suffix="profile",
        help="Off: for a pooler that gives each transaction another connection, such as pgbouncer "
             "before 1.21.")


class HashFiles:
    HashRecMax = Number(number(1, 2**31 - 1), "98317", "98317", suffix="profile",
        help="Records of a new file.")
    HashAutoExtend = Flag("on", "on", suffix="profile",
        help="Let full files grow; else they lose tokens.")
    HashMaxExtents = Number(COUNT, "0", "0", suffix="profile",
        help="How often a file may grow; 0: always.")
    HashExtentSize = Number(number(1, 2**31 - 1), "49157", "49157", suffix="profile", used=False,
        instead="each extent follows from the one before it",
        help="Records of an extent added.")
    HashPctIncrease = Number(number(0, 100), "0", "10", suffix="profile",
        help="Growth of each extent over the last, in percent.")
    HashMaxSeek = Number(number(1, 2**31 - 1), "100", "10", suffix="profile",
        help="How many places behind its own a token may lie in an extent.")
    HashConcurrentUser = Text(TEXT, "", "# globaluser", suffix="profile", used=False,
        instead="files of all users stay open while they are in use",
        help="User whose file stays open.")
    HashConnectionCache = Number(number(1, 10000), "32", "32", suffix="profile",
        help="Files that a worker keeps open, each in some 2.4 MB of cache: opening one takes time.")
    HashNoHoles = Flag("off", suffix="profile",
        help="Do not make sparse files, which those of more than 16 MB are.")
    HashPow2 = Flag("off", suffix="profile",
        help="Make extents of a power of two, not of a prime number of records.")
    HashFallocate = Flag("off", suffix="profile",
        help="Reserve the blocks of an extent: the same as HashNoHoles.")


class Profiles:
    Profile = Words(TEXT, "", "# DECAlpha\n# Sun420R",
        help="Declares a profile: NAME in options such as HashRecMax.NAME.")
    DefaultProfile = Text(TEXT, "", "# DECAlpha",
        help="Profile in use.")
    Failover = Text(TEXT, "", "# Sun420R", suffix="profile", bare=False,
        help="Profile to use when that after the dot is out of order.")
    FailoverAttempts = Number(COUNT, "1",
        help="How often to fail over.")


class Lookups:
    ExtLookup = Flag("off",
        help="Ask a directory or a program who a user is.")
    ExtLookupMode = Text(choice("verify", "map", "strict"), "verify",
        help="Verify names, replace them, or both.")
    ExtLookupDriver = Text(choice("ldap", "program"), "", "# ldap",
        help="What to ask.")
    ExtLookupServer = Text(TEXT, "", "# ldap.example.org",
        help="Directory server, or command line with %u.")
    ExtLookupPort = Number(PORT, "389",
        help="Port of the directory server.")
    ExtLookupDB = Text(TEXT, "", '# "ou=people,dc=example,dc=org"',
        help="Base of the search.")
    ExtLookupQuery = Text(TEXT, "", '# "(mail=%u)"',
        help="Filter of the search, with %u.")
    ExtLookupLDAPAttribute = Text(TEXT, "", "# uid",
        help="Attribute that holds the user.")
    ExtLookupLDAPScope = Text(choice("sub", "one", "base", subtree="sub"), "sub",
        help="Scope of the search: all below the base, its children, or the base alone.")
    ExtLookupLDAPVersion = Number(number(1, 3), "3",
        help="Protocol version.")
    ExtLookupLogin = Text(TEXT, "", '# "cn=dspam,dc=example,dc=org"',
        help="Name to bind with.")
    ExtLookupPassword = Text(TEXT, "", "# changeme",
        help="Password to bind with.")
    ExtLookupCrypto = Text(choice("none", "tls"), "none",
        help="Encrypt with StartTLS.")
    ExtLookupTimeout = Number(SECONDS, "10",
        help="Seconds to wait for an answer; mail waits if there is none.")


class Scanners:
    Lookup = Words(ZONE, "", "# rbl.example.org",
        help="DNS blacklist to ask for the source of a message.")
    RBLInoculate = Flag("off",
        help="Learn what a blacklist lists as spam, and teach it to the user's inoculation groups.")
    DNSServer = Text(NAME_SERVER, "", "# 127.0.0.1",
        help="Name server to ask, as address or address:port; those of the system if absent.")
    DNSTimeout = Number(SECONDS, "5",
        help="Seconds to wait for a blacklist; one that does not answer is left alone for a minute.")
    LocalMX = Words(OWN_ADDRESS, "", "127.0.0.1", suffix="profile",
        help="Address of a host of ours, never the source.")
    TrackSources = Words(choice("spam", "nonspam", "virus"), "", "# spam nonspam virus",
        help="Log the source of such messages.")
    RABLQueue = Text(PATH, "", "# /var/spool/rabl",
        help="Directory in which TrackSources spam notes the sources of spam.")
    ClamAVHost = Text(HOST_OR_SOCKET, "", "# 127.0.0.1",
        help="Host of the virus scanner clamd, or the path of its socket.")
    ClamAVPort = Number(number(0, 65535), "0", "# 3310",
        help="Port of the virus scanner; 0: no scan, unless ClamAVHost is a path.")
    ClamAVResponse = Text(choice("accept", "reject", "spam", drop="accept"), "accept",
        help="A virus is dropped, refused, or treated as spam.")
    ClamAVOnFailure = Text(choice("accept", "defer"), "accept",
        help="While the virus scanner does not answer, mail passes unscanned, or waits. Mail above "
             "its StreamMaxLength always passes.")
    ClamAVTimeout = Number(SECONDS, "60",
        help="Seconds to wait for the virus scanner.")


class Notices:
    Notifications = Flag("off", "off",
        help="Send notices to users.")
    QuarantineWarnSize = Number(SIZE, "2097152",
        help="Quarantine size that causes a notice.")
    WebURL = Text(TEXT, "", "# https://www.example.org/dspam",
        help="Address of the web pages, for the links that dspam_notify sends.")
    WebStats = Flag("off", "on",
        help="Keep USER.stats for the web pages.")
    SystemLog = Flag("off", "on",
        help="Keep Home/system.log.")
    UserLog = Flag("off", "on",
        help="Keep USER.log, the history of a user.")


class Purging:
    PurgeSignatures = Days("", "14",
        help="Days after which signatures go; off: never.")
    PurgeNeutral = Days("", "90",
        help="Days without a hit after which tokens go that say nothing: probability 0.35 to 0.65.")
    PurgeUnused = Days("", "90",
        help="The same for all tokens, unless TrainingMode is toe or notrain. Off: nor do the "
             "three below count.")
    PurgeHapaxes = Days("30", "30",
        help="The same for tokens with fewer than 5 hits, innocent ones counted twice.")
    PurgeHits1S = Days("15", "15",
        help="The same for tokens hit once, in spam.")
    PurgeHits1I = Days("15", "15",
        help="The same for tokens hit once, in innocent mail.")
    PurgeInterval = Number(number(0, 8760), "0", "# 24",
        help="Hours after which the daemon purges by itself, the stores of all profiles; 0: never,"
             " dspam_clean is run instead.")


class Server:
    ServerMode = Text(choice("dspam", "standard", "auto"), "dspam", "auto",
        help="Speak the protocol of dspamc, LMTP, or whichever the client speaks.")
    ServerHost = Text(HOST, "", "127.0.0.1",
        help="Address to listen on; all if absent.")
    ServerPort = Number(PORT, "24", "10033",
        help="Port to listen on.")
    ServerDomainSocketPath = Text(SOCKET, "", "# /run/dspam/dspam.sock",
        help="Listen on this socket; on TCP then only if ServerHost is given.")
    ServerQueueSize = Number(number(1, 65535), "128",
        help="Connections that may wait to be accepted.")
    ServerPID = Text(PATH, "/var/run/dspam/dspam.pid",
        help="File with the number of the process.")
    ServerIdent = Text(TEXT, "localhost.localdomain",
        help="Name given in the answer to LHLO.")
    ServerParameters = Text(TEXT, "", '"--deliver=innocent,spam -d %u"',
        help="Options of dspam for mail that comes by LMTP.")
    ServerPass = Text(TEXT, "", "# secret", suffix="client", bare=False,
        help="Password of the client whose name follows the dot, for dspamc over the network. Whoever "
             "knows it may act for every user, so the file must not be readable for everybody. On "
             "ServerDomainSocketPath none is needed: there the kernel says which account is calling.")


class Client:
    ClientHost = Text(HOST_OR_SOCKET, "", "# /run/dspam/dspam.sock",
        help="Host of the daemon, or the path of its socket.")
    ClientPort = Number(PORT, "24",
        help="Port of the daemon.")
    ClientIdent = Text(IDENTITY, "", "# secret@Relay1",
        help="password@name, as in ServerPass.name of the daemon; not needed if ClientHost is a "
             "socket.")


class Limits:
    ServerWorkers = Number(number(0, 256), "0",
        help="Processes that share the work; 0: one for each processor.")
    ServerUser = Text(TEXT, "", "# dspam",
        help="Account under which they work, if root starts the daemon.")
    ServerGroup = Text(TEXT, "", "# dspam",
        help="Its group; that of ServerUser if absent.")
    ServerMaxConnections = Number(number(1, 100000), "200",
        help="Connections served at the same time, by all workers together; others are told to try "
             "again later.")
    ServerMaxMemory = Number(SIZE, "256M",
        help="Bytes of messages held at the same time, by all workers together; processing takes ten "
             "times as much memory. Further messages are told to come later. 0: no limit.")
    ServerMaxMessageSize = Number(SIZE, "100M",
        help="Bigger messages are refused; keep it above the limit of the mail server. 0: no "
             "limit.")
    ServerTimeout = Number(SECONDS, "300",
        help="Seconds to wait for a client.")
    DeliveryTimeout = Number(SECONDS, "300",
        help="Seconds to wait for the next hop or a delivery agent.")
    DeliveryConnections = Number(number(1, 10000), "100",
        help="Connections to each next hop at the same time, by all workers together; further "
             "messages wait for one, at most DeliveryTimeout. One whose message is not answered is "
             "taken for ten minutes. Keep it below what the next hop serves (Postfix: its process "
             "limit).")
    StorageTimeout = Number(SECONDS, "30",
        help="Seconds to wait for the storage.")
    SocketMode = Number(MODE, "0660",
        help="Who may connect to ServerDomainSocketPath. Mail servers, and users who call dspamc, are "
             "to be members of its group; 0666 lets everybody call dspamc, each for their own "
             "account.")
    SocketOwner = Text(TEXT, "", "# dspam:mail",
        help="Its owner, as user or user:group; those of ServerUser and ServerGroup if absent.")
    SocketLMTP = Words(TEXT, "postfix Debian-exim exim",
        help="Mail servers: accounts that may speak LMTP on ServerDomainSocketPath, which is to "
             "deliver mail to anybody; so may root, the daemon's own account and those of Trust. *: "
             "everybody. Who may not is told to come later. dspamc needs no such right.")


class Behaviour:
    OnStorageFailure = Text(choice("defer", "deliver"), "defer",
        help="While the storage is down, mail is kept back, or delivered unfiltered.")
    OnFilterFailure = Text(choice("pass", "tempfail"), "pass",
        help="What dspam and dspamc print where mail is asked for (--stdout) and cannot be filtered: "
             "the mail as it came, with status 0; or nothing, with status 75 (see --fail).")
    StrictCompatibility = Flag("off",
        help="Do what DSPAM 3.10.2 did even where it was wrong.")
    CorrectionFailureExit = Number(number(0, 255), "1",
        help="Exit status of a correction that failed.")
    TrustedUserSecurity = Flag("on",
        help="Off: every account is trusted.")
    DirectoryLayout = Text(choice("normal", "large", "domain"), "normal",
        help="How directories of users are spread: not (data/bob), by their first letters "
             "(data/b/o/bob), by domain (data/example.org/bob). Unset, the files that are there tell; "
             "set otherwise than these lie, it stops the start.")
    HomeDirectories = Flag("off", used=False,
        instead="files stay below Home, where users cannot lead us elsewhere",
        help="Keep files of users in their home directories.")
    LongUsernames = Flag("on",
        help="dspam_stats shows each user in two lines, so that long names have room.")
    VirtualUsers = Flag("on", used=False,
        instead="mail accounts need no accounts of the system",
        help="Numbers of users come from a table, not from the accounts.")
    PreferencesInDatabase = Flag("on", used=False,
        instead="each store keeps preferences where DSPAM's driver did",
        help="SQL databases keep the preferences too.")


class Log:
    LogLevel = Text(choice("debug", "info", "warning", "error"), "info",
        help="What is worth a line.")
    LogFormat = Text(choice("logfmt", "json"), "logfmt",
        help="What a line looks like.")
    LogTarget = Text(LOG_TARGET, "stderr",
        help="stderr, syslog, or the path of a file.")
    LogDirectory = Text(PATH, "", "# /var/log/dspam",
        help="Where dspam.debug is, and LogTarget unless its path is absolute; log below Home if "
             "absent.")
    MetricsListen = Text(ADDRESS, "", "# 127.0.0.1:9424",
        help="Address at which /metrics and /healthz answer by HTTP; not for the world to see.")


# fmt: on


class Options(
    Places,
    Delivery,
    Trusted,
    Training,
    Preferences,
    Headers,
    SQLite,
    MySQL,
    PostgreSQL,
    HashFiles,
    Profiles,
    Lookups,
    Scanners,
    Notices,
    Purging,
    Server,
    Client,
    Limits,
    Behaviour,
    Log,
):
    """All options, as attributes."""


_TITLES = {
    "Where things are": Places,
    "Delivery": Delivery,
    "Trust and debugging": Trusted,
    "Training and classification": Training,
    "Preferences": Preferences,
    "Headers that are not tokens": Headers,
    "SQLite": SQLite,
    "MySQL and MariaDB": MySQL,
    "PostgreSQL": PostgreSQL,
    "Hash files": HashFiles,
    "Storage profiles": Profiles,
    "Lookup of users": Lookups,
    "Blacklists, viruses, sources": Scanners,
    "Notices, logs, statistics": Notices,
    "Purging (dspam_clean)": Purging,
    "Server": Server,
    "Client (dspamc, dspam --client)": Client,
    "Limits and sockets": Limits,
    "Behaviour": Behaviour,
    "Log of the daemon": Log,
}

SECTIONS: dict[str, tuple[Option[Any], ...]] = {
    title: tuple(row for row in vars(rows).values() if isinstance(row, Option))
    for title, rows in _TITLES.items()
}
"""The rows by the title under which the sample file and the manual page show them."""

OPTIONS: dict[str, Option[Any]] = {option.key: option for rows in SECTIONS.values() for option in rows}

# Words of older releases, and what became of them (config.md 4.7).
RETIRED: dict[str, str] = {
    "sblqueue": "RABLQueue",
    "purgesignature": "PurgeSignatures",
    "supresswebstats": "WebStats",
    "suppresswebstats": "WebStats",
    "mysqlsupressquote": "",
}
