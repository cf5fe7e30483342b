// codec/regex: RE2 behind one small shim.
#pragma once

#include "base/base.h"

struct sld_regex;

// Compiles PATTERN as Envoy does (RE2, Latin-1 program size, quiet). NULL and *ERR when it is not valid.
// Destroy with sld_regex_destroy.
struct sld_regex *sld_regex_create(struct sld_str pattern, struct sld_err *err);
void sld_regex_destroy(struct sld_regex *r);
// True when R matches the whole of S.
bool sld_regex_match(const struct sld_regex *r, struct sld_str s);
// RE2's program size as Envoy computes it for its limits (feasibility 8.4).
int sld_regex_program_size(const struct sld_regex *r);
// Number of capturing groups.
int sld_regex_groups(const struct sld_regex *r);
