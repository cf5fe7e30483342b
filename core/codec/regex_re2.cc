// RE2 for C.
#include "codec/regex_re2.h"

#include <algorithm>
#include <cstdio>
#include <re2/re2.h>

extern "C" void *regex_re2_create(const char *pattern, size_t n, size_t memory, char *err, size_t err_size)
{
    RE2::Options options;
    options.set_log_errors(false);
    options.set_encoding(RE2::Options::EncodingLatin1); // as Envoy has it, for equal program sizes
    if (memory)
        options.set_max_mem(static_cast<int64_t>(memory));
    RE2 *re = new RE2(re2::StringPiece(pattern, n), options);
    if (re->ok())
        return re;
    snprintf(err, err_size, "%s", re->error().c_str());
    delete re;
    return nullptr;
}

extern "C" void regex_re2_destroy(void *re)
{
    delete static_cast<RE2 *>(re);
}

extern "C" int regex_re2_full_match(const void *re, const char *s, size_t n)
{
    return RE2::FullMatch(re2::StringPiece(s, n), *static_cast<const RE2 *>(re));
}

extern "C" int regex_re2_search(const void *re, const char *s, size_t n, size_t from, const char **p, size_t *length, int count)
{
    re2::StringPiece groups[REGEX_RE2_GROUPS];
    count = std::min<int>(count, REGEX_RE2_GROUPS);
    if (!static_cast<const RE2 *>(re)->Match(re2::StringPiece(s, n), from, n, RE2::UNANCHORED, groups, count))
        return 0;
    for (int i = 0; i < count; i++) {
        p[i] = groups[i].data();
        length[i] = groups[i].size();
    }
    return 1;
}

extern "C" int regex_re2_program_size(const void *re)
{
    return static_cast<const RE2 *>(re)->ProgramSize();
}

extern "C" int regex_re2_groups(const void *re)
{
    return static_cast<const RE2 *>(re)->NumberOfCapturingGroups();
}
