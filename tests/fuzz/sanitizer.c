// How AddressSanitizer runs under the fuzzer: short stacks of allocations, memory that is not
// filled, and a smaller quarantine cost less. ASAN_OPTIONS overrules.

const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "malloc_context_size=4:max_malloc_fill_size=0:quarantine_size_mb=16";
}
