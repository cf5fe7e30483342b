// Inside codec: the part of RE2 that is used, callable from C.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { REGEX_RE2_GROUPS = 33 }; // of one search

// A compiled pattern, or NULL with words in ERR. MEMORY: RE2's ceiling; 0: its own.
void *regex_re2_create(const char *pattern, size_t n, size_t memory, char *err, size_t err_size);
void regex_re2_destroy(void *re);
int regex_re2_full_match(const void *re, const char *s, size_t n);
// The first match from byte FROM on; P and LENGTH of COUNT groups, P NULL where one took no part.
int regex_re2_search(const void *re, const char *s, size_t n, size_t from, const char **p, size_t *length, int count);
int regex_re2_program_size(const void *re);
int regex_re2_groups(const void *re);

#ifdef __cplusplus
}
#endif
