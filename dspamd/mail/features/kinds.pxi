# The kinds of features: the group of each, and the words that say what it means (wording.pxi).
#
# A scorer gives each group the same weight, however many features it has; so a group is what one can
# know of a message from one side.  The numbers of groups and kinds go into stored signatures and
# dictionaries: a new kind takes a new number, no number is used again.

cdef enum Group:
    WORDS = 0  # of the text and the subject, in lower case
    CASED = 1  # the same words as they are written, if they have capitals
    FIELDS = 2  # words of header fields, with the field's name
    STRUCTURE = 3  # names and order of fields, types, tags, shapes
    LINKS = 4
    HOPS = 5  # Received
    GRAMS = 6  # letters of the subject and the sender
    SIZES = 7
    HIDING = 8  # what the reader does not see, or a filter should not
    CHECKS = 9  # what our own mail server has found out about the sender


cdef enum Kind:
    BODY_WORD = 0
    SUBJECT_OR_BODY_WORD = 1  # the same feature as BODY_WORD, if the subject has it
    CASED_WORD = 2
    FIELD_WORD = 3
    FIELD_DOMAIN = 4
    FILE_WORD = 5
    FIELD_NAME = 6
    FIELD_SPELLING = 7
    FIELD_PAIR = 8
    PART_FIELD = 9
    MESSAGE_TYPE = 10
    PART_TYPE = 11
    CHARSET = 12
    BOUNDARY_SHAPE = 13
    MESSAGE_ENCODING = 14
    PART_ENCODING = 15
    FIELD_SHAPE = 16
    LOCAL_SHAPE = 17
    ZONE = 18
    EXCLAMATIONS = 19
    EXTENSION = 20
    ATTACHED_TYPE = 21
    ATTACHMENT_START = 22
    TAG = 23
    TAG_ATTRIBUTE = 24
    ATTRIBUTE_VALUE = 25
    FACT = 26  # its text says it all
    LINK_HOST = 27
    LINK_DOMAIN = 28
    LINK_PATH = 29
    LINK_FACT = 30
    HOP_WORD = 31
    HOP_WORD_AT = 32
    HOP_NETWORK = 33
    HOP_DOMAIN = 34
    SUBJECT_GRAM = 35
    SENDER_GRAM = 36
    SIZE = 37
    HIDDEN_WORD = 38
    SPACED_WORD = 39
    DISGUISED_WORD = 40
    HIDING_FACT = 41
    FIRST_FIELD = 42
    CHECK = 43
    CHECKED_DOMAIN = 44
    # As features the same as those of `_OTHER_WORDS`, and better said in other words.
    SUBJECT_CASED_WORD = 45
    PROGRAM_WORD = 46
    SENDER_DOMAIN = 47
    ID_HOST = 48
    HOP_ADDRESS = 49
    HOP_ADDRESS_AT = 50
    MAGNITUDE = 51
    STEP = 52
    KINDS = 53


cdef uint8_t[KINDS] GROUP_OF
cdef uint64_t[KINDS] SEED
ctypedef const char* Wording
cdef Wording[KINDS] WORDING
cdef Wording[KINDS] TOPIC
cdef size_t[GROUPS] MOST  # features of a group

# Group; wording; the topic, if it is not the whole wording in lower case.  Features of one topic say nearly the same.
_KINDS = {
    BODY_WORD: (WORDS, b'body contains "%t"'),
    SUBJECT_OR_BODY_WORD: (WORDS, b'Subject contains "%t"'),
    CASED_WORD: (CASED, b'body contains "%t"'),
    SUBJECT_CASED_WORD: (CASED, b'Subject contains "%t"'),
    FIELD_WORD: (FIELDS, b'%f contains "%t"'),
    PROGRAM_WORD: (FIELDS, b'sent by a program with "%t" in its name (%f)'),
    FIELD_DOMAIN: (FIELDS, b"%f has an address at %t", b"%f has an address at %d"),
    SENDER_DOMAIN: (FIELDS, b"the sender's domain is %t", b"the sender's domain is %d"),
    ID_HOST: (FIELDS, b"Message-ID was made by host %t", b"message-id was made by host %d"),
    FILE_WORD: (FIELDS, b'name of an attachment contains "%t"'),
    FIELD_NAME: (STRUCTURE, b"the header has the field %f"),
    FIELD_SPELLING: (STRUCTURE, b"the header has the field %t"),
    FIELD_PAIR: (STRUCTURE, b"field %n follows field %f"),
    FIRST_FIELD: (STRUCTURE, b"the first field is %f"),
    PART_FIELD: (STRUCTURE, b"a part has the field %f"),
    MESSAGE_TYPE: (STRUCTURE, b"the message is of type %t", b'content-type contains "%t"'),
    PART_TYPE: (STRUCTURE, b"a part is of type %t", b'content-type contains "%t"'),
    CHARSET: (STRUCTURE, b"the charset is %t", b'content-type contains "%t"'),
    BOUNDARY_SHAPE: (STRUCTURE, b"the boundary of parts is built like %t", b"the boundary of parts"),
    MESSAGE_ENCODING: (STRUCTURE, b"the message is encoded in %t", b'content-transfer-encoding contains "%t"'),
    PART_ENCODING: (STRUCTURE, b"a part is encoded in %t", b'content-transfer-encoding contains "%t"'),
    FIELD_SHAPE: (STRUCTURE, b"%f is built like %t", b"%f is built"),
    LOCAL_SHAPE: (STRUCTURE, b"%f begins like %t", b"%f is built"),
    ZONE: (STRUCTURE, b"the sender's time zone is %t"),
    EXCLAMATIONS: (STRUCTURE, b"exclamation marks in the Subject: %t"),
    EXTENSION: (STRUCTURE, b"name of an attachment ends in %t"),
    ATTACHED_TYPE: (STRUCTURE, b"an attachment is of type %t", b'content-type contains "%t"'),
    ATTACHMENT_START: (STRUCTURE, b"an attachment of type %t begins like one before"),
    TAG: (STRUCTURE, b"HTML has <%g>", b"html has <%g>"),
    TAG_ATTRIBUTE: (STRUCTURE, b"HTML has <%g %t=...>", b"html has <%g>"),
    ATTRIBUTE_VALUE: (STRUCTURE, b'HTML has %g="%t"'),
    FACT: (STRUCTURE, b"%t"),
    LINK_HOST: (LINKS, b"link to host %t", b"link to %d"),
    LINK_DOMAIN: (LINKS, b"link to a host in %t", b"link to %d"),
    LINK_PATH: (LINKS, b'link with "%t" behind its host'),
    LINK_FACT: (LINKS, b"%t"),
    HOP_WORD: (HOPS, b'Received contains "%t"', b'received contains "%d"'),
    HOP_WORD_AT: (HOPS, b'Received number %g contains "%t"', b'received contains "%d"'),
    HOP_DOMAIN: (HOPS, b"Received has a host in %t", b'received contains "%d"'),
    HOP_NETWORK: (HOPS, b"it came through network %g%t", b"it came through network %g"),
    HOP_ADDRESS: (HOPS, b"it came through address %g%t", b"it came through network %g"),
    HOP_ADDRESS_AT: (HOPS, b"it came through address %g%t", b"it came through network %g"),
    SUBJECT_GRAM: (GRAMS, b'Subject contains "%g" (letters "%t")', b'subject contains "%g"'),
    SENDER_GRAM: (GRAMS, b'From contains "%g" (letters "%t")', b'from contains "%g"'),
    CHECK: (CHECKS, b"our server found %t"),
    CHECKED_DOMAIN: (CHECKS, b"our server found %g of %t"),
    SIZE: (SIZES, b"%g%t"),
    MAGNITUDE: (SIZES, b"size of %g is %s", b"size of %g"),
    STEP: (SIZES, b"%g: about %t", b"%g"),
    HIDDEN_WORD: (HIDING, b'hidden text contains "%t"'),
    SPACED_WORD: (HIDING, b'letters with gaps spell "%t"'),
    DISGUISED_WORD: (HIDING, b'digits or foreign letters spell "%t"'),
    HIDING_FACT: (HIDING, b"%t"),
}

_OTHER_WORDS = {
    SUBJECT_OR_BODY_WORD: BODY_WORD, SUBJECT_CASED_WORD: CASED_WORD, PROGRAM_WORD: FIELD_WORD,
    SENDER_DOMAIN: FIELD_DOMAIN, ID_HOST: FIELD_DOMAIN, HOP_ADDRESS: HOP_WORD, HOP_ADDRESS_AT: HOP_WORD_AT,
    MAGNITUDE: SIZE,
}

_MOST = {
    WORDS: 4000, CASED: 2000, FIELDS: 1000, STRUCTURE: 1000, LINKS: 500, HOPS: 400, GRAMS: 900, SIZES: 100,
    HIDING: 300, CHECKS: 50,
}

AREAS = {
    WORDS: "words", CASED: "words", FIELDS: "header", STRUCTURE: "form", LINKS: "links", HOPS: "way here",
    GRAMS: "header", SIZES: "form", HIDING: "hiding", CHECKS: "checks",
}
"""What groups of features are about, for people; several groups are one area."""


cdef int _fill_kinds() except -1:
    cdef int kind
    for kind, (group, wording, *topic) in _KINDS.items():
        GROUP_OF[kind] = group
        WORDING[kind] = <const char*>wording  # of a literal, which is never freed
        TOPIC[kind] = <const char*>topic[0] if topic else WORDING[kind]
        SEED[kind] = scrambled(<uint64_t>_OTHER_WORDS.get(kind, kind) + 1)
    for group, most in _MOST.items():
        MOST[<int>group] = most
    return 0
