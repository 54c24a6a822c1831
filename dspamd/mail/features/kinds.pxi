# The kinds of features: the group of each, and the words that say what it means.
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
    SUBJECT_OR_BODY_WORD = 1  # the same feature, if the subject has it
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
    KINDS = 45


cdef uint8_t[KINDS] GROUP_OF
cdef uint64_t[KINDS] SEED
ctypedef const char* Wording
cdef Wording[KINDS] WORDING
cdef size_t[GROUPS] MOST  # features of a group

_KINDS = {  # group; wording: %f is the field, %t the text
    BODY_WORD: (WORDS, b'body contains "%t"'),
    SUBJECT_OR_BODY_WORD: (WORDS, b'Subject or body contains "%t"'),
    CASED_WORD: (CASED, b'"%t" is written like this'),
    FIELD_WORD: (FIELDS, b"%f contains %t"),
    FIELD_DOMAIN: (FIELDS, b"%f has an address at %t"),
    FILE_WORD: (FIELDS, b"name of an attachment contains %t"),
    FIELD_NAME: (STRUCTURE, b"there is a field %f"),
    FIELD_SPELLING: (STRUCTURE, b"a field is spelled %t"),
    FIELD_PAIR: (STRUCTURE, b"field %f is followed by %t"),
    PART_FIELD: (STRUCTURE, b"a part has a field %f"),
    MESSAGE_TYPE: (STRUCTURE, b"type of the message is %t"),
    PART_TYPE: (STRUCTURE, b"type of a part is %t"),
    CHARSET: (STRUCTURE, b"charset is %t"),
    BOUNDARY_SHAPE: (STRUCTURE, b"boundary looks like %t"),
    MESSAGE_ENCODING: (STRUCTURE, b"encoding of the message is %t"),
    PART_ENCODING: (STRUCTURE, b"encoding of a part is %t"),
    FIELD_SHAPE: (STRUCTURE, b"%f looks like %t"),
    LOCAL_SHAPE: (STRUCTURE, b"%f begins like %t"),
    ZONE: (STRUCTURE, b"time zone is %t"),
    EXCLAMATIONS: (STRUCTURE, b"exclamation marks in Subject: %t"),
    EXTENSION: (STRUCTURE, b"name of an attachment ends in %t"),
    ATTACHED_TYPE: (STRUCTURE, b"attachment of type %t"),
    ATTACHMENT_START: (STRUCTURE, b"an attachment begins with the same bytes, of type %t"),
    TAG: (STRUCTURE, b"HTML has the tag %f"),
    TAG_ATTRIBUTE: (STRUCTURE, b"HTML has the tag %f with %t"),
    ATTRIBUTE_VALUE: (STRUCTURE, b"HTML has %f=%t"),
    FACT: (STRUCTURE, b"%t"),
    LINK_HOST: (LINKS, b"link to host %t"),
    LINK_DOMAIN: (LINKS, b"link into domain %t"),
    LINK_PATH: (LINKS, b"link with %t in its path"),
    LINK_FACT: (LINKS, b"%t"),
    HOP_WORD: (HOPS, b"Received contains %t"),
    HOP_WORD_AT: (HOPS, b"Received number %f contains %t"),
    HOP_NETWORK: (HOPS, b"Received from network %t"),
    HOP_DOMAIN: (HOPS, b"Received from domain %t"),
    SUBJECT_GRAM: (GRAMS, b'Subject has the letters "%t"'),
    SENDER_GRAM: (GRAMS, b'From has the letters "%t"'),
    FIRST_FIELD: (STRUCTURE, b"the first field is %f"),
    CHECK: (CHECKS, b"our server found %t"),
    CHECKED_DOMAIN: (CHECKS, b"our server found %f of %t"),
    SIZE: (SIZES, b"%f%t"),
    HIDDEN_WORD: (HIDING, b'hidden text contains "%t"'),
    SPACED_WORD: (HIDING, b'letters with gaps spell "%t"'),
    DISGUISED_WORD: (HIDING, b'digits or foreign letters spell "%t"'),
    HIDING_FACT: (HIDING, b"%t"),
}

_MOST = {
    WORDS: 4000, CASED: 2000, FIELDS: 1000, STRUCTURE: 1000, LINKS: 500, HOPS: 400, GRAMS: 900, SIZES: 100,
    HIDING: 300, CHECKS: 50,
}


cdef int _fill_kinds() except -1:
    cdef int kind
    for kind, (group, wording) in _KINDS.items():
        GROUP_OF[kind] = group
        WORDING[kind] = <const char*>wording  # of a literal, which is never freed
        SEED[kind] = scrambled(<uint64_t>(BODY_WORD if kind == SUBJECT_OR_BODY_WORD else kind) + 1)
    for group, most in _MOST.items():
        MOST[<int>group] = most
    return 0
