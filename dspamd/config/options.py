"""The table of the options of dspam.conf.

A row is an attribute (`dspamd.config.option`): its name is that of the option, its class gives the
type of the value, and its arguments the syntax in the file, the default, and the help text.  The
parser (`config`), the sample file and the manual page (`manual`) use the same rows, so each fact
about an option stands in one place.

Names, defaults and meanings are those of DSPAM 3.10.2 (reference/config.md 4).  Its build-time
switches (4.8) and our new options are at the end of the table.  `used=False` marks an option that the
parser accepts and that has no effect (yet, or because of what happens `instead`): the daemon warns
of it at start.

This module reads no files.
"""

from __future__ import annotations

from typing import Any

from dspamd.config.option import Days, Factor, Flag, Number, Option, Text, Words
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
from dspamd.mail.views import VIEWS

_SAMPLE_PREFERENCES = """\
"spamAction=deliver"
"spamSubject=[SPAM]"
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
            help=f"Host of the {title} server, or the path of its socket."),
        Number(number(0, 65535), port, suffix="profile",
            help="TCP port of that server; 0: the usual one."),
        Text(TEXT, "", "# dspam", suffix="profile",
            help="Account for the login."),
        Text(TEXT, "", "# changeme", suffix="profile",
            help=f"Password for the login; put one with quotes and blanks into {file}."),
        Text(TEXT, "", "# dspam", suffix="profile",
            help="Name of the database."),
    )


def _pooled() -> tuple[Number, Flag]:
    """The options ConnectionCache and UIDInSignature of an SQL server."""
    return (
        Number(number(1, 10000), "3", suffix="profile",
            help="Connections that the daemon keeps open."),
        Flag("off", suffix="profile",
            help="Begin signatures with the number of the user and a comma."),
    )


def _virtual() -> tuple[Text, Text, Text]:
    """The options of the table of users: VirtualTable, VirtualUIDField, VirtualUsernameField."""
    return (
        Text(TEXT, "dspam_virtual_uids", suffix="profile",
            help="Table with the numbers of users."),
        Text(TEXT, "uid", suffix="profile",
            help="Column of that table with the number."),
        Text(TEXT, "username", suffix="profile",
            help="Column of that table with the name."),
    )


_UNCOMPRESSED = "the library that talks to the server cannot compress"

class Places:
    Home = Text(PATH, "", "/var/lib/dspam",
        help="Directory of all files of dspamd. Required.")
    StorageDriver = Text(DRIVER, "", "sqlite3_drv",
        help="Storage driver: sqlite3_drv, hash_drv, mysql_drv or pgsql_drv; only the last part of a path "
             "counts. Required by every program that opens the storage.")
    TxtDirectory = Text(PATH, "", "# /etc/dspam/txt",
        help="Templates of notices and tags; if absent, txt below Home.")
    GroupConfig = Text(PATH, "", "# /var/lib/dspam/group",
        help="File of groups; if absent, group below Home.")
    Include = Words(PATH, "", "# /etc/dspam/dspam.d/",
        help="Read another file, a directory of *.conf files, or a pattern, here.")


class Delivery:
    TrustedDeliveryAgent = Text(COMMAND, "", '# "/usr/bin/procmail"',
        help="Delivers mail for trusted callers, with the caller's own arguments at the end. %u is the user, "
             "%r the recipient, %s the sender. If one of them begins with a hyphen, the mail is refused, "
             "unless the command has the word -- in front of it: write it if the program knows it.")
    UntrustedDeliveryAgent = Text(COMMAND, "", '# "/usr/bin/procmail -d %u"',
        help="Delivers mail for all other callers.")
    QuarantineAgent = Text(COMMAND, "", '# "/usr/bin/procmail -d spam"',
        help="Receives spam for the quarantine, in place of the built-in mailbox.")
    QuarantineMailbox = Text(TEXT, "", "# +quarantine",
        help="Suffix for the local part of the recipient of spam.")
    DeliveryHost = Text(HOST_OR_SOCKET, "", "127.0.0.1", suffix="domain",
        help="Deliver to this host, or to the socket at this path, instead of an agent. With a domain after "
             "a dot: for recipients in that domain.")
    DeliveryPort = Number(PORT, "24", "10034", suffix="domain",
        help="Port of DeliveryHost.")
    DeliveryIdent = Text(TEXT, "localhost",
        help="Our name in the greeting of the next hop.")
    DeliveryProto = Text(choice("SMTP", "LMTP"), "", "SMTP",
        help="Protocol of DeliveryHost.")
    DeliveryTLS = Text(choice("off", "may", "require"), "off",
        help="Encrypt connections to DeliveryHost by STARTTLS: never (off), if the host offers it (may), or "
             "always (require); require also needs a certificate that is valid for DeliveryHost. Sockets "
             "need no encryption.")
    DeliveryTLSCAFile = Text(PATH, "", "# /etc/ssl/certs/our-ca.pem",
        help="Authorities that DeliveryTLS require trusts; if absent, those of the system.")
    OnFail = Text(choice("error", "unlearn"), "error", "error",
        help="After a failed delivery: report it (error), or also take back the lesson (unlearn). dspamd "
             "learns nothing before a delivery, so both mean the same.")
    LMTPLDAErrorsPermanent = Flag("off",
        help="Treat every failure of a delivery agent as permanent.")
    EnablePlusedDetail = Flag("off",
        help="Process user+detail as user.")
    PlusedCharacter = Text(CHARACTER, "+",
        help="Character between user and detail.")
    PlusedUserLowercase = Flag("off",
        help="Change the user of a plus address to lower case.")
    FallbackDomains = Flag("off",
        help="Users without preferences share those of @domain, and its dictionary, if the preferences of "
             "@domain allow it.")
    StripRcptDomain = Flag("off",
        help="By LMTP the user is the recipient without its domain.")
    Broken = Words(choice("returnCodes", "case", "lineStripping"), "", "# case",
        help="Work around faults of the mail server: exit 99 for spam, change users to lower case, strip "
             "carriage returns.")
    MaxMessageSize = Number(SIZE, "0", "# 4M",
        help="Deliver bigger messages without filtering them; 0: no limit. A limit bounds the tokens of "
             "a message, too, and so its time in the store.")


class Trusted:
    Trust = Words(TEXT, "", "root\ndspam\nmail\nmailnull\nsmmsp\ndaemon",
        help="Accounts that may act for other users; the daemon's own account must be one of them.")
    Debug = Words(TEXT, "", "# *",
        help="Users, or *, whose mail is logged in detail to dspam.debug in LogDirectory.")
    DebugOpt = Words(choice("process", "classify", "spam", "fp", "inoculation", "corpus"), "",
        "# process",
        help="Limit Debug to these operations.")


class Training:
    TrainingMode = Text(choice(*[mode.value for mode in Mode]), "teft", "tone",
        help="Which mail dspamd learns without a lesson from the user: teft all, tum tokens that are rare, "
        "toe none once it knows enough, tone only what it is not sure of, and takes that back exactly.")
    TrainingMargin = Factor("1",
        help="How sure of a verdict TrainingMode tone must be to learn nothing, as a multiple of what the "
        "algorithm itself suggests; 0: dspamd learns errors only.")
    TestConditionalTraining = Flag("off", "on",
        help="Accepted without effect: a correction counts exactly once, as it finally did with DSPAM too.")
    Feature = Words(FEATURE, "", "whitelist",
        help="Noise reduction, automatic whitelist, sedation.")
    Algorithm = Words(choice(*SCORERS), "graham burton",
             "joint",
        help="How tokens become a verdict; if several are named, each may find spam. The others stand "
        "alone. confidence: all tokens vote, each as much as it is to be trusted. It uses the same "
        "dictionaries and makes about half the errors. joint: weights and counters of what the modern view "
        "sees, a small block for each user in place of a row for each token; it makes the fewest "
        "errors. logistic: weights only. Use these three with TrainingMode tone.")
    MessageView = Text(choice(*VIEWS), "classic",
        help="What of a message becomes tokens: classic what DSPAM saw, cut up by the Tokenizer; modern what "
        "its reader sees, with links, attachments and its way here. Another view is another dictionary: "
        "its tokens must be learned first. Algorithm joint and logistic always see the modern view.")
    ShadowAlgorithm = Text(choice(*[name for name, each in SCORERS.items() if each.block]), "", "# joint",
        help="Also score and learn all mail by this algorithm, which decides nothing; the metrics "
             "dspamd_shadow_* count where it differs. Make it the Algorithm once it is better.")
    SeedModel = Text(PATH, "", "# /etc/dspam/seed",
        help="A file that dspam_admin seed made: what users of Algorithm joint or logistic know from the "
             "first day. What they teach themselves soon counts more.")
    BlockMemory = Number(SIZE, "64M",
        help="Memory of each worker for the knowledge of recently served users, by Algorithm joint or "
             "logistic: 0.3 MiB a user after 200 lessons, 0.7 after 1,000, 1.1 after 6,000.")
    QuarantineAfter = Number(COUNT, "0", "10",
        help="Tag spam instead of quarantining it until a user has learned so many messages of each class; "
             "0: quarantine at once.")
    Tokenizer = Text(choice("word", "chain", "sbph", "osb", ranked=True, chained="chain"), "chain",
             "# osb",
        help="How to split a message into tokens.")
    PValue = Text(choice("bcr", "robinson", "markov", ranked=True, graham="bcr"), "bcr", "# bcr",
        help="How hits become the probability of a token.")
    ProcessorWordFrequency = Text(choice("once", "occurrence"), "once", suffix="profile",
        help="Count a token once per message, or each time it occurs.")
    ProcessorURLContext = Flag("off", "# on", suffix="profile",
        help="Make separate tokens of the words in URLs.")
    ProcessorBias = Flag("off", "# on", suffix="profile",
        help="Count innocent hits twice; Algorithm confidence takes what is little more than "
        "doubtful for innocent.")
    TrainPristine = Flag("off",
        help="Make no signatures: users correct with the original message.")
    ClassAliasSpam = Text(TEXT, "", "# badstuff",
        help="Another word for --class=spam.")
    ClassAliasNonspam = Text(TEXT, "", "# goodstuff",
        help="Another word for --class=innocent.")
    ImprobabilityDrive = Flag("off",
        help="Add X-DSPAM-Improbability.")
    SpamHeaders = Flag("off",
        help="Say the verdict in X-Spam-Flag, X-Spam-Score, X-Spam-Status and X-Spam-Level, too, for rules "
             "that were written for SpamAssassin, and remove such fields that came from outside. The score "
             "is ten times the probability, at least 5.0 for spam and at most 4.9 for other mail; it never "
             "reaches 10. Leave it off if SpamAssassin stands in front of dspamd.")
    DataSource = Text(choice("mail", "document"), "mail",
        help="Input is mail, or text without headers.")
    ParseToHeaders = Flag("off", "on",
        help="Treat mail to spam-USER and notspam-USER as a correction. USER keeps its case, as in any "
             "recipient, unless Broken case or PlusedUserLowercase says otherwise.")
    RetrainAddress = Text(choice("envelope", "original", "header"), "envelope",
        help="Where dspamd looks for such an address. envelope: the recipient, or ORCPT if an alias made "
             "USER the recipient. original: also the first X-Original-To, which the mail server must write "
             "itself (Postfix: flags=O). header: any To, as in DSPAM; senders write it, so mail for others "
             "may be taken for a correction.")
    RetrainDomain = Words(TEXT, "", "# example.org",
        help="Domains of such addresses; if absent, all. Name yours if outgoing mail passes the filter: then "
             "spam-fighters at another domain is an ordinary address.")
    RetrainFrom = Words(choice("local", "user", "any"), "local user", "# local",
        help="Who may correct by such an address. local: clients that the mail server vouches for, as "
             "Postfix does by XFORWARD SOURCE=LOCAL (local_header_rewrite_clients names them), for any user, "
             "also by a text without signature. user: senders whose envelope address is that of the user, "
             "for themselves; this keeps out strangers, unless they forge senders and the mail server lets "
             "them. any: everybody who knows a signature, as in DSPAM.")
    RetrainedMail = Text(choice("deliver", "drop"), "deliver", "drop",
        help="After a correction by mail: return the mail to the user (deliver), or drop it.")
    ChangeModeOnParse = Flag("off", "on",
        help="With ParseToHeaders: the address names the class.")
    ChangeUserOnParse = Text(choice("off", "on", "user", "full", no="off", false="off"), "off",
        "full",
        help="With ParseToHeaders: the address names the user, without (user) or with (full) domain.")

    Maildirs = Text(TEXT, "", "# /var/vmail/%d/%n/Maildir",
        help="Where the maildirs of users are, for dspam_admin learn-maildirs: %u is a user, %n and %d are "
             "the two parts of an address, * is anything; without these three the first * is the user.")


class Preferences:
    Preference = Words(PREFERENCE, "", _SAMPLE_PREFERENCES,
        help="Preference of all users who have none of their own.")
    AllowOverride = Words(familiar("preference", PREFERENCES), "", "\n".join(PREFERENCES),
        help="Preference that users may set themselves.")
    Opt = Text(choice("out", "in"), "out", "out",
        help="Filter mail unless the user opted out, or only if the user opted in.")


class Headers:
    IgnoreHeader = Words(HEADER, "", "# X-Example",
        help="Header whose words are not tokens.")
    AuthenticationHost = Words(TEXT, "", "# mx.example.org",
        help="Name by which a mail server of ours writes Authentication-Results (RFC 8601): MessageView "
        "modern believes no others. The server has to remove those that arrive with its name.")


class SQLite:
    SQLitePragma = Words(TEXT, "", '# "synchronous = NORMAL"', suffix="profile",
        help="PRAGMA for every connection.")


class MySQL:
    MySQLServer, MySQLPort, MySQLUser, MySQLPass, MySQLDb = _database(
        "MySQL", "0", "mysql.data"
    )
    MySQLCompress = Flag("off", suffix="profile", used=False, instead=_UNCOMPRESSED,
        help="Compress the connection.")
    MySQLReconnect = Flag("off", suffix="profile",
        help="Reconnect automatically; dspamd always does.")
    MySQLWriteServer, MySQLWritePort, MySQLWriteUser, MySQLWritePass, MySQLWriteDb = _database(
        "writing MySQL", "0", "mysql.data"
    )
    MySQLWriteCompress = Flag("off", suffix="profile", used=False, instead=_UNCOMPRESSED,
        help="Compress that connection.")
    MySQLWriteReconnect = Flag("off", suffix="profile",
        help="Reconnect automatically; dspamd always does.")
    MySQLReadSignaturesFromWriteDb = Flag("off", suffix="profile",
        help="Read signatures from the writing server.")
    MySQLConnectionCache, MySQLUIDInSignature = _pooled()
    MySQLVirtualTable, MySQLVirtualUIDField, MySQLVirtualUsernameField = _virtual()
    MySQLCreateSchema = Flag("on", suffix="profile",
        help="Create our own tables (dspamd_correction, dspamd_block, dspamd_block_change), and in an empty "
             "database also those of DSPAM.")


class PostgreSQL:
    PgSQLServer, PgSQLPort, PgSQLUser, PgSQLPass, PgSQLDb = _database(
        "PostgreSQL", "5432", "pgsql.data"
    )
    PgSQLConnectionCache, PgSQLUIDInSignature = _pooled()
    PgSQLVirtualTable, PgSQLVirtualUIDField, PgSQLVirtualUsernameField = _virtual()
    PgSQLCreateSchema = Flag("on", suffix="profile",
        help="Create our own tables (dspamd_correction, dspamd_block, dspamd_block_change), and in an empty "
             "database also those of DSPAM.")
    PgSQLPreparedStatements = Flag("on", suffix="profile",
        help="Use prepared statements. Turn it off for a pooler that gives each transaction another "
             "connection, such as pgbouncer before 1.21.")


class HashFiles:
    HashRecMax = Number(number(1, 2**31 - 1), "98317", "98317", suffix="profile",
        help="Records of a new file.")
    HashAutoExtend = Flag("on", "on", suffix="profile",
        help="Let full files grow; otherwise they lose tokens.")
    HashMaxExtents = Number(COUNT, "0", "0", suffix="profile",
        help="How often a file may grow; 0: no limit.")
    HashExtentSize = Number(number(1, 2**31 - 1), "49157", "49157", suffix="profile", used=False,
        instead="each extent follows from the one before it",
        help="Records of each further extent.")
    HashPctIncrease = Number(number(0, 100), "0", "10", suffix="profile",
        help="Growth of each extent over the previous one, in percent.")
    HashMaxSeek = Number(number(1, 2**31 - 1), "100", "10", suffix="profile",
        help="How many places after its own a token may lie in an extent.")
    HashConcurrentUser = Text(TEXT, "", "# globaluser", suffix="profile", used=False,
        instead="files of all users stay open while they are in use",
        help="User whose file stays open.")
    HashConnectionCache = Number(number(1, 10000), "32", "32", suffix="profile",
        help="Files that a worker keeps open, because opening takes time; each takes about 2.4 MB of cache.")
    HashNoHoles = Flag("off", suffix="profile",
        help="Do not make sparse files; by default files of more than 16 MB are sparse.")
    HashPow2 = Flag("off", suffix="profile",
        help="Make extents with a power of two, not a prime number, of records.")
    HashFallocate = Flag("off", suffix="profile",
        help="Reserve the blocks of an extent: the same as HashNoHoles.")


class Profiles:
    Profile = Words(TEXT, "", "# DECAlpha\n# Sun420R",
        help="Declare a profile: NAME in options such as HashRecMax.NAME.")
    DefaultProfile = Text(TEXT, "", "# DECAlpha",
        help="Profile to use.")
    Failover = Text(TEXT, "", "# Sun420R", suffix="profile", bare=False,
        help="Profile to use when the profile after the dot is out of order.")
    FailoverAttempts = Number(COUNT, "1",
        help="How often to fail over.")


class Lookups:
    ExtLookup = Flag("off",
        help="Ask a directory or a program about users.")
    ExtLookupMode = Text(choice("verify", "map", "strict"), "verify",
        help="Verify names, replace them (map), or both (strict).")
    ExtLookupDriver = Text(choice("ldap", "program"), "", "# ldap",
        help="Ask a directory (ldap) or a program.")
    ExtLookupServer = Text(TEXT, "", "# ldap.example.org",
        help="Directory server, or command line with %u.")
    ExtLookupPort = Number(PORT, "389",
        help="Port of the directory server.")
    ExtLookupDB = Text(TEXT, "", '# "ou=people,dc=example,dc=org"',
        help="Base of the search.")
    ExtLookupQuery = Text(TEXT, "", '# "(mail=%u)"',
        help="Filter of the search, with %u.")
    ExtLookupLDAPAttribute = Text(TEXT, "", "# uid",
        help="Attribute with the name of the user.")
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
        help="Seconds to wait for an answer; without one, mail waits.")


class Scanners:
    Lookup = Words(ZONE, "", "# rbl.example.org",
        help="DNS blacklist to ask about the source of a message.")
    RBLInoculate = Flag("off",
        help="Learn mail from sources on a blacklist as spam, also for the user's inoculation groups.")
    DNSServer = Text(NAME_SERVER, "", "# 127.0.0.1",
        help="Name server to ask, as address or address:port; if absent, those of the system.")
    DNSTimeout = Number(SECONDS, "5",
        help="Seconds to wait for a blacklist; dspamd skips one that does not answer for a minute.")
    LocalMX = Words(OWN_ADDRESS, "", "127.0.0.1", suffix="profile",
        help="Address of one of our own hosts, which is never the source.")
    TrackSources = Words(choice("spam", "nonspam", "virus"), "", "# spam nonspam virus",
        help="Log the source of messages of these kinds.")
    RABLQueue = Text(PATH, "", "# /var/spool/rabl",
        help="Directory in which TrackSources spam makes a file for each source of spam.")
    ClamAVHost = Text(HOST_OR_SOCKET, "", "# 127.0.0.1",
        help="Host of the virus scanner clamd, or the path of its socket.")
    ClamAVPort = Number(number(0, 65535), "0", "# 3310",
        help="Port of the virus scanner; 0: no scan, unless ClamAVHost is a path.")
    ClamAVResponse = Text(choice("accept", "reject", "spam", drop="accept"), "accept",
        help="Drop a message with a virus (accept), refuse it (reject), or treat it as spam.")
    ClamAVOnFailure = Text(choice("accept", "defer"), "accept",
        help="While the virus scanner does not answer: pass mail unscanned (accept), or let it wait (defer). "
             "Mail above its StreamMaxLength always passes.")
    ClamAVTimeout = Number(SECONDS, "60",
        help="Seconds to wait for the virus scanner.")


class Notices:
    Notifications = Flag("off", "off",
        help="Send notices to users.")
    QuarantineWarnSize = Number(SIZE, "2097152",
        help="Size of a quarantine from which its user gets a notice.")
    WebURL = Text(TEXT, "", "# https://www.example.org/dspam",
        help="Address of the web pages, for links in the letters of dspam_notify.")
    WebStats = Flag("off", "on",
        help="Write USER.stats for the web pages.")
    SystemLog = Flag("off", "on",
        help="Write Home/system.log.")
    UserLog = Flag("off", "on",
        help="Write USER.log, the history of a user.")


class Purging:
    PurgeSignatures = Days("", "14",
        help="Days after which a purge removes signatures; off: never.")
    PurgeNeutral = Days("", "90",
        help="Days without a hit after which a purge removes neutral tokens (probability 0.35 to 0.65).")
    PurgeUnused = Days("", "90",
        help="The same for all tokens, unless TrainingMode is toe or notrain. off also turns off the next "
             "three.")
    PurgeHapaxes = Days("30", "30",
        help="The same for tokens with fewer than 5 hits, innocent ones counted twice.")
    PurgeHits1S = Days("15", "15",
        help="The same for tokens with one hit, in spam.")
    PurgeHits1I = Days("15", "15",
        help="The same for tokens with one hit, in innocent mail.")
    PurgeInterval = Number(number(0, 8760), "0", "# 24",
        help="Hours between purges by the daemon, of the stores of all profiles; 0: the daemon does not "
             "purge, run dspam_clean instead.")


class Server:
    ServerMode = Text(choice("dspam", "standard", "auto"), "dspam", "auto",
        help="Protocol: that of dspamc (dspam), LMTP (standard), or the one that the client speaks (auto).")
    ServerHost = Text(HOST, "", "127.0.0.1",
        help="Address to listen on; if absent, all.")
    ServerPort = Number(PORT, "24", "10033",
        help="Port to listen on.")
    ServerDomainSocketPath = Text(SOCKET, "", "# /run/dspam/dspam.sock",
        help="Socket to listen on; then the daemon listens on TCP only if ServerHost is set.")
    ServerQueueSize = Number(number(1, 65535), "128",
        help="Connections that may wait until a worker accepts them.")
    ServerPID = Text(PATH, "/var/run/dspam/dspam.pid",
        help="File for the process number of the supervisor.")
    ServerIdent = Text(TEXT, "localhost.localdomain",
        help="Our name in the answer to LHLO.")
    ServerParameters = Text(TEXT, "", '"--deliver=innocent,spam -d %u"',
        help="Options of dspam for mail that comes by LMTP.")
    ServerPass = Text(TEXT, "", "# secret", suffix="client", bare=False,
        help="Password of the client whose name follows the dot, for dspamc over the network. Everybody who "
             "knows it may act for every user, so the file must not be readable for everybody. "
             "ServerDomainSocketPath needs no password: there the kernel names the calling account.")


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
        help="Number of worker processes; 0: one for each processor.")
    ServerUser = Text(TEXT, "", "# dspam",
        help="Account of the workers, if root starts the daemon.")
    ServerGroup = Text(TEXT, "", "# dspam",
        help="Group of the workers; if absent, that of ServerUser.")
    ServerMaxConnections = Number(number(1, 100000), "200",
        help="Connections at the same time, for all workers together; the daemon answers others with \"try "
             "again later\".")
    ServerMaxMemory = Number(SIZE, "256M",
        help="Bytes of messages that all workers together hold at the same time; processing takes ten times "
             "as much memory. The daemon defers further messages. 0: no limit.")
    ServerMaxMessageSize = Number(SIZE, "100M",
        help="Refuse bigger messages; set it above the limit of the mail server. 0: no limit.")
    ServerTimeout = Number(SECONDS, "300",
        help="Seconds to wait for a client.")
    DeliveryTimeout = Number(SECONDS, "300",
        help="Seconds to wait for the next hop or a delivery agent.")
    DeliveryConnections = Number(number(1, 10000), "100",
        help="Connections to each next hop at the same time, for all workers together. Further messages wait "
             "for one, at most DeliveryTimeout. A next hop that does not answer for a message occupies a "
             "connection for ten minutes. Set it below the limit of the next hop (Postfix: its process "
             "limit).")
    StorageTimeout = Number(SECONDS, "30",
        help="Seconds to wait for the storage.")
    SocketMode = Number(MODE, "0660",
        help="Permissions of ServerDomainSocketPath. Make mail servers and the users who call dspamc members "
             "of its group; 0666 lets everybody call dspamc, each for their own account.")
    SocketOwner = Text(TEXT, "", "# dspam:mail",
        help="Owner of ServerDomainSocketPath, as user or user:group; if absent, ServerUser and ServerGroup.")
    SocketLMTP = Words(TEXT, "postfix Debian-exim exim",
        help="Accounts of mail servers that may speak LMTP on ServerDomainSocketPath, and so deliver mail to "
             "anybody; root, the daemon's own account and those of Trust may, too. *: everybody. The daemon "
             "defers the mail of others. dspamc needs no such right.")


class Behaviour:
    OnStorageFailure = Text(choice("defer", "deliver"), "defer",
        help="While the storage is down: defer mail, or deliver it unfiltered.")
    OnFilterFailure = Text(choice("pass", "tempfail"), "pass",
        help="What dspam and dspamc print if mail for standard output (--stdout) cannot be filtered. pass: "
             "the mail as it came, with status 0 (75 for a lesson). tempfail: nothing, with status 75 "
             "(see --fail).")
    StrictCompatibility = Flag("off",
        help="Do what DSPAM 3.10.2 did even where it was wrong.")
    CorrectionFailureExit = Number(number(0, 255), "1",
        help="Exit status of a correction that failed.")
    TrustedUserSecurity = Flag("on",
        help="Only the accounts of Trust are trusted; off: every account.")
    DirectoryLayout = Text(choice("normal", "large", "domain"), "normal",
        help="Layout of the directories of users: flat (normal: data/bob), by first letters (large: "
             "data/b/o/bob), or by domain (data/example.org/bob). If absent, the existing files decide; a "
             "layout that contradicts them stops the start.")
    HomeDirectories = Flag("off", used=False,
        instead="files stay below Home, where users cannot lead us elsewhere",
        help="Keep files of users in their home directories.")
    LongUsernames = Flag("on",
        help="Let dspam_stats print two lines for each user, so that long names have room.")
    VirtualUsers = Flag("on", used=False,
        instead="mail accounts need no accounts of the system",
        help="Take numbers of users from a table, not from system accounts.")
    PreferencesInDatabase = Flag("on", used=False,
        instead="each store keeps preferences where DSPAM's driver did",
        help="Keep the preferences in the SQL database, too.")


class Log:
    LogLevel = Text(choice("debug", "info", "warning", "error"), "info",
        help="Least severe level that is logged.")
    LogFormat = Text(choice("logfmt", "json"), "logfmt",
        help="Format of log lines.")
    LogTarget = Text(LOG_TARGET, "stderr",
        help="stderr, syslog, or the path of a file.")
    LogDirectory = Text(PATH, "", "# /var/log/dspam",
        help="Directory of dspam.debug, and of LogTarget unless its path is absolute; if absent, log below "
             "Home.")
    MetricsListen = Text(ADDRESS, "", "# 127.0.0.1:9424",
        help="Address at which /metrics and /healthz answer by HTTP; keep it away from strangers.")


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
"""The rows by their title in the sample file and the manual page."""

OPTIONS: dict[str, Option[Any]] = {option.key: option for rows in SECTIONS.values() for option in rows}

# Directives of older releases, and what replaces them (config.md 4.7).
RETIRED: dict[str, str] = {
    "sblqueue": "RABLQueue",
    "purgesignature": "PurgeSignatures",
    "supresswebstats": "WebStats",
    "suppresswebstats": "WebStats",
    "mysqlsupressquote": "",
}
