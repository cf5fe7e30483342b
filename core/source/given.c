#include "source/given.h"

#include <stdlib.h>

struct sld_str sld_env(const char *name)
{
    struct sld_str v = sld_str_c(getenv(name));
    return v.n ? v : SLD_STR_NONE;
}

struct sld_str sld_given(struct sld_arena *a, const char *setting, const char *other, const char *name)
{
    struct sld_str v = SLD_STR_NONE;
    if (setting && *setting)
        v = sld_str_c(setting);
    else if (other && *other)
        v = sld_str_c(other);
    else if (name)
        v = sld_env(name);
    return v.p ? sld_arena_str(a, v) : SLD_STR_NONE;
}

bool sld_is_true(struct sld_str s)
{
    return sld_str_eq(s, SLD_STR("1")) || sld_str_ieq(s, SLD_STR("t")) ||
           sld_str_ieq(s, SLD_STR("true"));
}

bool sld_is_false(struct sld_str s)
{
    return sld_str_eq(s, SLD_STR("0")) || sld_str_ieq(s, SLD_STR("f")) ||
           sld_str_ieq(s, SLD_STR("false"));
}
