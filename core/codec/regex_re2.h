// Inside codec: the part of RE2 that is used, callable from C.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// A compiled pattern, or NULL with words in ERR.
void *regex_re2_create(const char *pattern, size_t n, char *err, size_t err_size);
void regex_re2_destroy(void *re);
int regex_re2_full_match(const void *re, const char *s, size_t n);
int regex_re2_program_size(const void *re);
int regex_re2_groups(const void *re);

#ifdef __cplusplus
}
#endif
