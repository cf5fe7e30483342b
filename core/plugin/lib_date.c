// Of solder.time: points in time as Unix seconds, and as RFC 3339 and HTTP write them. The table is in lib_time.c.
#include <math.h>
#include <time.h>

#include "codec/text.h"
#include "plugin/library.h"

enum { TEXT_MAX = 64 };
static const lua_Integer seconds_min = -62135596800, seconds_max = 253402300799; // years 1 to 9999

static void push_seconds(lua_State *L, int64_t seconds, int32_t nanos)
{
    if (nanos)
        lua_pushnumber(L, (lua_Number)seconds + nanos / 1e9);
    else
        lua_pushinteger(L, seconds);
}

#define HTTP_FORM "%a, %d %b %Y %H:%M:%S GMT"
#define OLD_FORM "%A, %d-%b-%y %H:%M:%S GMT"
#define C_FORM "%a %b %e %H:%M:%S %Y"
enum { FORMS = 3 };

static const char *read_form(int form, const char *text, struct tm *tm)
{
    return strptime(text, form == 0 ? HTTP_FORM : form == 1 ? OLD_FORM : C_FORM, tm);
}

// Whether TEXT is what would be written; of the old form, whose years have two digits, nothing is written.
static bool is_written(int form, const char *text, const struct tm *tm)
{
    char again[TEXT_MAX];
    if (form == 1)
        return true;
    size_t n = form == 0 ? strftime(again, TEXT_MAX, HTTP_FORM, tm) : strftime(again, TEXT_MAX, C_FORM, tm);
    return n > 0 && strcmp(text, again) == 0;
}

// The forms of RFC 9110 5.6.7.
static bool http_date(struct sld_str s, int64_t *seconds)
{
    char text[TEXT_MAX];
    if (s.n >= sizeof(text) || memchr(s.p, 0, s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    for (int form = 0; form < FORMS; form++) {
        struct tm tm = {0};
        const char *end = read_form(form, text, &tm);
        if (!end || *end)
            continue;
        time_t t = timegm(&tm);
        if (!gmtime_r(&t, &tm) || !is_written(form, text, &tm))
            return false;
        *seconds = t;
        return true;
    }
    return false;
}

int pl_time_parse(lua_State *L)
{
    struct sld_str s = pl_arg(L, 1);
    int64_t seconds;
    int32_t nanos = 0;
    if (!sld_time_parse(s, &seconds, &nanos) && !http_date(s, &seconds))
        return pl_not_right(L, "'%.*s' is no time of RFC 3339 or HTTP", SLD_FMT(sld_str_sub(s, 0, TEXT_MAX)));
    push_seconds(L, seconds, nanos);
    return 1;
}

// The seconds at index 1, and what is below them.
static int64_t seconds_of(lua_State *L, int32_t *nanos)
{
    luaL_checktype(L, 1, LUA_TNUMBER);
    lua_Number n = lua_tonumber(L, 1);
    luaL_argcheck(L, n >= (lua_Number)seconds_min && n <= (lua_Number)seconds_max, 1, "Unix seconds of the years 1 to 9999 expected");
    lua_Number whole = floor(n);
    *nanos = (int32_t)((n - whole) * 1e6) * 1000; // a double of today has no more than microseconds
    return (int64_t)whole;
}

int pl_time_format(lua_State *L)
{
    int32_t nanos;
    int64_t seconds = seconds_of(L, &nanos);
    struct sld_buf b;
    char text[TEXT_MAX];
    sld_buf_init(&b, sizeof(text));
    sld_time_print(&b, seconds, nanos);
    size_t n = b.n;
    memcpy(text, b.p, n);
    sld_buf_fini(&b); // before anything can raise
    lua_pushlstring(L, text, n);
    return 1;
}

int pl_time_http(lua_State *L)
{
    int32_t nanos;
    time_t t = (time_t)seconds_of(L, &nanos);
    char text[TEXT_MAX];
    struct tm tm;
    bool ok = gmtime_r(&t, &tm);
    SLD_INV(ok);
    lua_pushlstring(L, text, strftime(text, sizeof(text), HTTP_FORM, &tm));
    return 1;
}

int pl_time_duration(lua_State *L)
{
    int64_t seconds;
    int32_t nanos;
    struct sld_str s = pl_arg(L, 1);
    if (!sld_duration_parse(s, &seconds, &nanos))
        return pl_not_right(L, "'%.*s' is no duration such as 1h30m or 500ms", SLD_FMT(sld_str_sub(s, 0, TEXT_MAX)));
    push_seconds(L, seconds, nanos);
    return 1;
}
