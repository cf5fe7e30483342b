// codec/regex: RE2 behind one small shim.
#pragma once

#include "base/base.h"

struct sld_regex;

// Compiles PATTERN as Envoy does (RE2, Latin-1 program size, quiet). NULL and *ERR when it is not valid.
// Destroy with sld_regex_destroy.
struct sld_regex *sld_regex_create(struct sld_str pattern, struct sld_err *err);
// The same, in about MEMORY_BYTES at most: a pattern that needs more is not valid.
struct sld_regex *sld_regex_create_within(struct sld_str pattern, size_t memory_bytes, struct sld_err *err);
void sld_regex_destroy(struct sld_regex *r);
// True when R matches the whole of S.
bool sld_regex_match(const struct sld_regex *r, struct sld_str s);
// RE2's program size as Envoy computes it for its limits (feasibility 8.4).
int sld_regex_program_size(const struct sld_regex *r);
// Number of capturing groups.
int sld_regex_groups(const struct sld_regex *r);
// The first match in S from byte FROM on: GROUPS[0] is all of it, then the capturing groups, at most N together; a group
// that took no part is absent. Takes time in proportion to S, whatever the pattern.
bool sld_regex_search(const struct sld_regex *r, struct sld_str s, size_t from, struct sld_str *groups, size_t n);
enum { SLD_REGEX_GROUPS_MAX = 33 }; // of one search
