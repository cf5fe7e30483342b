// Regular expressions.
#include "codec/regex.h"

#include "codec/regex_re2.h"

struct sld_regex {
    void *re;
};

_Static_assert((int)SLD_REGEX_GROUPS_MAX == (int)REGEX_RE2_GROUPS, "one number in two languages");

struct sld_regex *sld_regex_create(struct sld_str pattern, struct sld_err *err)
{
    return sld_regex_create_within(pattern, 0, err);
}

struct sld_regex *sld_regex_create_within(struct sld_str pattern, size_t memory_bytes, struct sld_err *err)
{
    char words[256];
    void *re = regex_re2_create(pattern.p ? pattern.p : "", pattern.n, memory_bytes, words, sizeof(words));
    if (!re) {
        sld_err_set(err, SLD_INVALID, "%s", words);
        return NULL;
    }
    struct sld_regex *r = SLD_NEW(struct sld_regex);
    r->re = re;
    return r;
}

void sld_regex_destroy(struct sld_regex *r)
{
    if (!r)
        return;
    regex_re2_destroy(r->re);
    sld_xfree(r);
}

bool sld_regex_match(const struct sld_regex *r, struct sld_str s)
{
    return regex_re2_full_match(r->re, s.p ? s.p : "", s.n);
}

int sld_regex_program_size(const struct sld_regex *r)
{
    return regex_re2_program_size(r->re);
}

int sld_regex_groups(const struct sld_regex *r)
{
    return regex_re2_groups(r->re);
}

bool sld_regex_search(const struct sld_regex *r, struct sld_str s, size_t from, struct sld_str *groups, size_t n)
{
    const char *p[SLD_REGEX_GROUPS_MAX] = {NULL};
    size_t length[SLD_REGEX_GROUPS_MAX];
    SLD_PRE(from <= s.n && n <= SLD_REGEX_GROUPS_MAX);
    if (!regex_re2_search(r->re, s.p ? s.p : "", s.n, from, p, length, (int)n))
        return false;
    for (size_t i = 0; i < n; i++)
        groups[i] = p[i] ? sld_str_n(p[i], length[i]) : SLD_STR_NONE;
    return true;
}
