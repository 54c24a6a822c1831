# One message for one user: from hits to verdict, explanation and lesson.
#
# The order of engine.md 7.2: load the hits, reduce noise, find probabilities, choose and combine,
# look at the whitelist, learn.  Arithmetic lives in the files before this one; here it is put
# together.

from dspamd.engine.model import Explained, Factor, Label, Learned, Result, Source as Origin
from dspamd.engine.modes import effective, totals_change
from dspamd.engine.reasons import POINTS, Balance, Share, factors as lines_of, merged

cdef double[ALGORITHMS] THRESHOLD = [0.9, 0.9, 0.9, 0.5, 0.5010]  # one for each algorithm (4.7)
cdef double MARKOV_THRESHOLD = 0.5  # for all of them (4.7)
CONFIDENT = "confidence"
FORMULAS = ("naive", "graham", "burton", "robinson", "chi-square")  # names of the algorithms, in their order
cdef frozenset ALGORITHM_NAMES = frozenset((*FORMULAS, CONFIDENT))
cdef dict METHOD_NAMES = {"bcr": GRAHAM_METHOD, "robinson": ROBINSON_METHOD, "markov": MARKOV_METHOD}


cdef int check_options(options, lesson) except -1:
    """Raise ValueError for options that contradict each other or are unknown."""
    cdef frozenset algorithms = options.algorithms
    if lesson is not None and options.classify_only:
        raise ValueError("a message is either classified or taught")
    if not algorithms and not options.strict:
        raise ValueError("no algorithm")  # Q-P7
    if len(algorithms) > 1 and CONFIDENT in algorithms:
        raise ValueError(f"{CONFIDENT} is not combined with other algorithms")
    if not algorithms <= ALGORITHM_NAMES:
        raise ValueError(f"unknown algorithm {min(algorithms - ALGORITHM_NAMES)}")
    if options.pvalue not in METHOD_NAMES:
        raise ValueError(f"unknown pvalue {options.pvalue}")
    return 0


cdef enum:
    GUESSES = 8  # tokens compared before one is searched for; measured
    WHITELIST_SHARE = 15  # innocent messages for each spam of a sender who passes (6.2)
    ALIKE = 8  # tokens of the modern view that one reason can consist of, when only some reasons are wanted
    FACTORS_NAMED = 1024  # what a header has room for (4.8): the shortest line of one takes 12 bytes


cdef int take_hits(Scored* entries, Tokens tokens, hits) except -1:
    """Give each entry its hits, summed over the dictionaries; ValueError if the arrays are not parallel."""
    cdef const uint64_t[::1] values = hits.tokens, spam = hits.spam, innocent = hits.innocent
    cdef int64_t at, guess = 0, last
    cdef Py_ssize_t k
    if not values.shape[0] == spam.shape[0] == innocent.shape[0]:
        raise ValueError("hits are not parallel")
    with nogil:
        for k in range(values.shape[0]):
            # Many readers give them in the order of the tokens, without the unknown ones.
            at, last = guess, min(guess + GUESSES, <int64_t>tokens.count)
            while at < last and tokens.value[at] != values[k]:
                at += 1
            if at == last:
                at = tokens.find(values[k])
            if at >= 0:
                guess = at + 1
                entries[at].spam += <int64_t>spam[k]
                entries[at].innocent += <int64_t>innocent[k]
    return 0


@cython.final
cdef class Run:
    """The verdict on a message, and the lesson in it.

    `tokens` are those of the message, or of a stored signature; `snapshot` brings the totals and the
    hits of the user (for merged groups the sums); `lesson` is the label that the user gave it, or None
    for new mail.  If `patterns` is not None, the caller reads their hits too and gives them to `weigh` before
    it asks for anything else.  ValueError for options that contradict each other.
    """

    cdef Tokens tokens
    cdef Tokens found  # noise reduction patterns, or None
    cdef Scored* entries  # tokens and, once weighed, patterns, in iteration order
    cdef uint32_t count
    cdef Scale scale
    cdef Teaching teaching
    cdef Choice[MOST_CHOICES] choices  # from most to least interesting
    cdef uint32_t chosen
    cdef bint[ALGORITHMS] enabled
    cdef bint confident  # the algorithm is the one of confidence.pxi
    cdef double evidence
    cdef int decisive  # whose uses are the factors
    cdef double probability, confidence
    cdef bint spam, whitelisted, judged
    cdef int64_t innocent_seen  # messages learned and classified
    cdef object totals, options, lesson, rules
    cdef object lesson_learned  # made when asked for

    def __cinit__(self, Tokens tokens not None, snapshot, options, lesson=None):
        cdef frozenset algorithms = options.algorithms
        cdef int algorithm
        check_options(options, lesson)
        self.tokens, self.totals, self.options, self.lesson = tokens, snapshot.totals, options, lesson
        self.rules = effective(snapshot.totals, options, lesson)
        self.confident = CONFIDENT in algorithms
        for algorithm, name in enumerate(FORMULAS):
            self.enabled[algorithm] = name in algorithms
        self.prepare_teaching()
        self.prepare_scale()
        self.load(snapshot.hits)
        if options.noise and not self.confident and tokens.named and self.innocent_seen > COLLECT_ABOVE:
            self.found = patterns_of(tokens, self.entries)
        else:
            self.judge()

    def __dealloc__(self):
        free(self.entries)

    cdef int prepare_teaching(self) except -1:
        cdef Teaching* teaching = &self.teaching
        lesson = self.lesson
        teaching.taught = lesson is not None
        teaching.occurrence = self.options.occurrence and not self.confident  # hits are messages there
        teaching.strict, teaching.control = self.options.strict, self.options.control_token
        teaching.takes_back = self.rules.takes_back
        if teaching.taught:
            teaching.spam = lesson.label is Label.SPAM
            teaching.error = lesson.source is Origin.ERROR
            teaching.inoculation = lesson.source is Origin.INOCULATION
            teaching.unlearn = lesson.unlearn
            teaching.by_signature = not self.tokens.named
        return 0

    cdef int prepare_scale(self) except -1:
        cdef Scale* scale = &self.scale
        totals, options = self.totals, self.options
        cdef int64_t spam_seen = totals.spam_learned + totals.spam_classified
        self.innocent_seen = totals.innocent_learned + totals.innocent_classified
        scale.method = CONFIDENCE_METHOD if self.confident else METHOD_NAMES[options.pvalue]
        scale.spam, scale.innocent = totals.spam_learned, totals.innocent_learned
        scale.bias = 2 if options.bias else 1
        scale.unknown = UNKNOWN_SPAM_P if self.teaching.taught and self.teaching.spam else UNKNOWN_P
        cdef int64_t most = self.rules.most_minimum
        scale.minimum = min(most, minimum_hits(spam_seen, self.innocent_seen, options.sedation, False))
        scale.pattern_minimum = min(most, minimum_hits(spam_seen, self.innocent_seen, options.sedation, True))
        return 0

    cdef int load(self, hits) except -1:
        """Make the entries; tokens that the store does not know have no hits."""
        cdef Tokens tokens = self.tokens
        cdef Scored* entries = <Scored*>calloc(tokens.count + 1, sizeof(Scored))
        cdef uint32_t i
        self.entries, self.count = entries, tokens.count
        if entries == NULL:
            raise MemoryError
        take_hits(entries, tokens, hits)
        with nogil:
            for i in range(tokens.count):
                entries[i].value = tokens.value[i]
                entries[i].frequency = tokens.frequency[i]
                entries[i].index = i
                entries[i].p = probability(&entries[i], &self.scale, tokens)
        return 0

    # -- noise reduction

    @property
    def patterns(self):
        """Patterns whose hits must be given to `weigh`, array('Q'); None if there are none."""
        return None if self.found is None else self.found.values

    def weigh(self, hits):
        """Go on with the hits of the patterns (`Hits`); RuntimeError if they are not asked for."""
        cdef Tokens found = self.found
        cdef Scored* patterns
        cdef uint32_t k
        if found is None or self.judged:
            raise RuntimeError("there are no patterns to weigh")
        patterns = <Scored*>calloc(found.count, sizeof(Scored))
        if patterns == NULL:
            raise MemoryError
        try:
            take_hits(patterns, found, hits)
            believe(patterns, found, &self.scale)
            if self.lesson is None and self.innocent_seen > REDUCE_ABOVE:
                reduce_noise(self.entries, patterns, found.count, self.tokens)
            merge(&self.entries, &self.count, patterns, found.count, self.tokens)
        finally:
            free(patterns)
        self.judge()

    # -- the verdict

    cdef int judge(self) except -1:
        """Choose, combine, decide (4.7); a lesson by signature needs no statistics (7.7)."""
        cdef uint32_t size = <uint32_t>(
            BURTON_USES if self.enabled[BURTON] else ROBINSON_USES if self.enabled[ROBINSON] else GRAHAM_USES
        )
        cdef double mean
        cdef Uses none = Uses(NULL, 0)
        cdef uint32_t k
        self.judged = True
        if self.teaching.by_signature:
            self.spam, self.probability = self.teaching.spam, self.teaching.spam
            return 0
        if self.confident:
            self.judge_evidence()
            return 0
        with nogil:
            self.chosen = choose(self.entries, self.count, self.tokens, size, self.choices)
            if self.teaching.taught:
                for k in range(self.chosen):
                    self.choices[k].p = self.teaching.spam
            mean = robinson(self.choices, self.chosen, &none)
            if self.teaching.taught:
                self.spam, self.probability = self.teaching.spam, self.teaching.spam
            else:
                self.decide()
        if self.scale.method == MARKOV_METHOD:
            mean = self.probability
        self.confidence = mean if self.spam else <float>(1 - mean)
        self.look_at_whitelist()
        self.look_at_margin(self.confidence, MARGIN)
        return 0

    cdef int judge_evidence(self) except -1:
        """Let all tokens vote (confidence.pxi)."""
        cdef double spam
        self.decisive = CONFIDENCE
        if self.teaching.taught:
            self.spam, self.probability, self.confidence = self.teaching.spam, self.teaching.spam, 1
            return 0
        with nogil:
            self.evidence = evidence(self.entries, self.count, self.sender(), &spam)
        self.spam = self.evidence > self.benefit_of_doubt()
        self.probability = chance_of_spam(self.evidence, &self.scale)
        self.confidence = fabs(2 * self.probability - 1)
        self.look_at_whitelist()
        self.look_at_margin(
            self.evidence if self.spam else -self.evidence, min(SURE, SURE_SHARE * self.count)
        )
        return 0

    cdef double benefit_of_doubt(self):
        return BENEFIT_OF_DOUBT if self.options.bias else 0.0

    cdef int look_at_margin(self, double certainty, double margin) except -1:
        """In mode tone, learn from a verdict that is not sure, or the first of its class."""
        unsure = self.rules.unsure
        if unsure is None or self.lesson is not None:
            return 0
        known = self.totals.spam_learned if self.spam else self.totals.innocent_learned
        if certainty < margin * <double>self.options.margin or not known:
            self.rules = unsure
        return 0

    cdef double number(self, int algorithm, Uses* uses) noexcept nogil:
        """The number of one algorithm; `uses` takes the entries that it used."""
        if algorithm == GRAHAM:
            return graham(self.choices, self.chosen, uses)
        if algorithm == BURTON:
            return burton(self.choices, self.chosen, uses)
        if algorithm == ROBINSON:
            return robinson(self.choices, self.chosen, uses)
        if algorithm == CHI_SQUARE:
            return chi_square(self.entries, self.count, self.scale.method, uses)
        if self.teaching.strict:
            return naive_strict(self.choices, self.chosen, self.count, self.teaching.control, uses)
        return naive(self.entries, self.count, uses)

    cdef void decide(self) noexcept nogil:
        """Any algorithm that fires makes spam; the table of 4.7 says which one is reported."""
        cdef Uses none = Uses(NULL, 0)
        cdef double value, first = -1  # the original reported it without any algorithm
        cdef int algorithm, last = GRAHAM
        cdef bint asked = False
        for algorithm in range(ALGORITHMS):
            if not self.enabled[algorithm]:
                continue
            value = self.number(algorithm, &none)
            last = algorithm
            if not asked:
                first = value
                asked = True
            if value > MARKOV_THRESHOLD if self.scale.method == MARKOV_METHOD else value >= THRESHOLD[algorithm]:
                if not self.spam or algorithm <= BURTON:
                    self.probability = <float>value
                if not self.spam or algorithm <= GRAHAM:
                    self.decisive = algorithm
                self.spam = True
        if not self.spam:
            self.probability = <float>first
            self.decisive = last

    cdef int look_at_whitelist(self) except -1:
        """Senders with much innocent mail and hardly any spam pass, whatever they write (6.2)."""
        cdef const Scored* sender = self.sender()
        if sender != NULL and not self.teaching.taught and self.options.whitelist:
            self.whitelisted = (
                sender.innocent > self.options.whitelist_threshold and sender.spam <= sender.innocent // WHITELIST_SHARE
            )
        if self.whitelisted:
            self.spam = False
        return 0

    cdef const Scored* sender(self) noexcept nogil:
        """The whitelist token, which merging the patterns may have moved up; NULL if there is none."""
        cdef int64_t at = self.tokens.whitelist_index
        if at < 0:
            return NULL
        while self.entries[at].pattern or self.entries[at].index != self.tokens.whitelist_index:
            at += 1
        return &self.entries[at]

    cdef int check(self) except -1:
        if not self.judged:
            raise RuntimeError("the patterns must be weighed first")
        return 0

    def __len__(self):
        """The number of tokens that are scored."""
        return self.count

    @property
    def result(self):
        """The verdict of the statistics (`Result`)."""
        self.check()
        name = "Whitelisted" if self.whitelisted else "Spam" if self.spam else "Innocent"
        return Result(bool(self.spam), name, self.probability, self.confidence)

    @property
    def factors(self):
        """The first `FACTORS_NAMED` tokens that decided, in order of use (4.8): list of `Factor`, empty for lessons."""
        return self.find_factors()[1]

    @property
    def factor_count(self):
        """How many tokens decided; some formulas use all tokens of a message."""
        return self.find_factors()[0]

    cdef tuple find_factors(self):
        """How many factors there are, and the first ones."""
        cdef Uses uses = Uses(NULL, 0)
        cdef double p
        cdef uint32_t k
        self.check()
        if self.teaching.taught or not self.options.algorithms:
            return 0, []
        if self.confident:
            lines = lines_of(self.reasons(MOST_CHOICES), self.balance, self.probability)
            return len(lines), lines
        uses.entry = <uint32_t*>malloc((self.count + 2 * MOST_CHOICES) * sizeof(uint32_t))
        if uses.entry == NULL:
            raise MemoryError
        try:
            with nogil:
                self.number(self.decisive, &uses)
            factors = []
            for k in range(min(uses.count, <uint32_t>FACTORS_NAMED)):
                p = self.entries[uses.entry[k]].p
                if self.decisive == NAIVE and self.teaching.strict:
                    p = least_interesting(self.choices, self.chosen)
                factors.append(Factor(self.name(&self.entries[uses.entry[k]]), <float>p))
            return uses.count, factors
        finally:
            free(uses.entry)

    @property
    def balance(self):
        """How the points of all tokens add up (`Balance`); None for formulas that do not add."""
        cdef double unit = POINTS * TRUE_EVIDENCE, spam = 0
        self.check()
        if not self.confident or self.teaching.taught:
            return None
        evidence(self.entries, self.count, self.sender(), &spam)
        return Balance(
            unit * spam, unit * (self.evidence - spam), unit * self.benefit_of_doubt(), 0.0,
            (self.totals.spam_learned, self.totals.innocent_learned),
        )

    cdef bytes name(self, const Scored* entry):
        cdef uint8_t[PATTERN_SIZE] name
        if entry.pattern:
            return PyBytes_FromStringAndSize(<char*>name, spell_pattern(entry.index, name))
        return self.tokens.name(entry.index)

    def explain(self, most=None):
        """The tokens of the message, the most interesting first: list of `Explained`.

        All of them, or the first `most`, whose number should be small.
        """
        explained = [self.explained(k) for k in self.interesting(most)]
        explained.sort(key=lambda token: -abs(0.5 - token.probability))
        return explained

    def reasons(self, most=None):
        """What the verdict rests on: the tokens, or if all vote, what they say, without repetition, in points."""
        if not self.confident:
            return self.explain(most)
        voters = self.interesting(None if most is None else ALIKE * most)
        return merged([self.share(k) for k in voters if &self.entries[<uint32_t>k] != self.sender()])[:most]

    cdef list interesting(self, most):
        """The indexes of the most interesting tokens, at most `most`; None: of all."""
        cdef uint32_t k, count, places = self.count if most is None else min(<uint32_t>most, self.count)
        cdef uint32_t* shown
        self.check()
        shown = <uint32_t*>malloc((<size_t>places + 1) * sizeof(uint32_t))
        if shown == NULL:
            raise MemoryError
        try:
            with nogil:
                count = self.most_interesting(shown, places) if places < self.count else self.all_tokens(shown)
            return [shown[k] for k in range(count)]
        finally:
            free(shown)

    cdef object explained(self, uint32_t k):
        cdef const Scored* entry = &self.entries[k]
        return Explained(self.name(entry), entry.spam, entry.innocent, entry.p)

    cdef object share(self, uint32_t k):
        cdef const Scored* entry = &self.entries[k]
        logit = TRUE_EVIDENCE * log(entry.p / (1 - entry.p))
        return Share(self.name(entry), self.tokens.topic(entry.index), entry.spam, entry.innocent, logit)

    cdef uint32_t all_tokens(self, uint32_t* shown) noexcept nogil:
        cdef uint32_t k, count = 0
        for k in range(self.count):
            if not self.entries[k].pattern:
                shown[count] = k
                count += 1
        return count

    cdef uint32_t most_interesting(self, uint32_t* shown, uint32_t places) noexcept nogil:
        """Put the entries of the first tokens into their places; of equal ones the first counts."""
        cdef uint32_t k, at, count = 0
        cdef double interest
        for k in range(self.count):
            if self.entries[k].pattern or not places:
                continue
            interest = fabs(0.5 - self.entries[k].p)
            if count == places:
                if fabs(0.5 - self.entries[shown[count - 1]].p) >= interest:
                    continue
                count -= 1
            at = count
            while at and fabs(0.5 - self.entries[shown[at - 1]].p) < interest:
                shown[at] = shown[at - 1]
                at -= 1
            shown[at] = k
            count += 1
        return count

    # -- the lesson

    @property
    def learned(self):
        """The changes of the dictionary (`Learned`), signed and not cut at zero."""
        self.check()
        if self.lesson_learned is None:
            label = Label.SPAM if self.spam else Label.INNOCENT
            totals = totals_change(
                label, self.lesson, self.rules, self.options, by_signature=bool(self.teaching.by_signature)
            )
            self.lesson_learned = Learned(totals, self.token_change())
        return self.lesson_learned

    @property
    def provisional(self):
        """Whether the store keeps `learned` with the signature, as a correction in force."""
        self.check()
        return self.lesson is None and self.rules.provisional and not self.options.classify_only

    cdef object token_change(self):
        cdef Teaching teaching = self.teaching
        rules = self.rules
        # Q-T4: asked only to classify, the original taught the sender where it taught nothing else.
        if not rules.learns or (
            self.options.classify_only and (rules.learns_mail or not teaching.strict)
        ):
            return TokenChange.none()
        teaching.spam = self.spam
        if not (rules.learns_mail or teaching.taught):
            teaching.most_hits = 0
        elif teaching.by_signature or teaching.error or teaching.inoculation or self.confidence < rules.sure:
            teaching.most_hits = UNLIMITED
        else:
            teaching.most_hits = rules.well_known
        return steps_of(self.entries, self.count, self.sender(), teaching)

    @property
    def signature(self):
        """The bytes that the store keeps to train this message later (8.2), patterns included."""
        cdef bytes records
        cdef uint8_t* record
        cdef uint32_t k
        self.check()
        if self.found is None or self.tokens.text_signature:
            return self.tokens.signature()
        records = PyBytes_FromStringAndSize(NULL, RECORD * <Py_ssize_t>self.count)
        record = <uint8_t*>PyBytes_AS_STRING(records)
        with nogil:
            for k in range(self.count):
                write_record(record + RECORD * <size_t>k, self.entries[k].value, self.entries[k].frequency)
        return records
