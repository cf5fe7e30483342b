// Regular expressions.
#include "codec/regex.h"

#include "codec/regex_re2.h"

struct sld_regex {
    void *re;
};

struct sld_regex *sld_regex_create(struct sld_str pattern, struct sld_err *err)
{
    char words[256];
    void *re = regex_re2_create(pattern.p ? pattern.p : "", pattern.n, words, sizeof(words));
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
