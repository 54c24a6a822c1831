/* Tells libFuzzer which edges of an extension a run took.
 *
 * gcc calls __sanitizer_cov_trace_pc on every edge (-fsanitize-coverage=trace-pc); libFuzzer wants a
 * counter for each. The addresses are hashed into a table of counters, which tests/fuzz/__main__.py
 * hands over. Only the build of `make fuzz` has this. */

#include <stdint.h>

#define COUNTERS 16384

uint8_t coverage_counters[COUNTERS];
uintptr_t coverage_places[2 * COUNTERS]; /* libFuzzer's names of the counters: an address and flags each */

__attribute__((visibility("hidden"), no_sanitize_coverage))
void __sanitizer_cov_trace_pc(void)
{
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    uint8_t *counter = &coverage_counters[(place * 0x9E3779B97F4A7C15u) >> 50];

    if (*counter != 255)
        ++*counter;
}
