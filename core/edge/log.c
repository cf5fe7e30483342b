// Envoy's log lines as ours.
#include "edge/inside.h"

static bool level_of(char letter, enum sld_level *level)
{
    switch (letter) {
    case 'T':
    case 'D':
        *level = SLD_DEBUG;
        return true;
    case 'I':
        *level = SLD_INFO;
        return true;
    case 'W':
        *level = SLD_WARN;
        return true;
    case 'E':
    case 'C':
        *level = SLD_LOG_ERROR;
        return true;
    default:
        return false;
    }
}

struct sld_str edge_log_cut(struct sld_str component, struct sld_str message, bool *within)
{
    const struct sld_str mark = SLD_STR(" rejected: ");
    if (*within && sld_str_eq(component, SLD_STR("stderr")))
        return SLD_STR_NONE;
    ptrdiff_t at = sld_str_eq(component, SLD_STR("config")) ? sld_str_find(message, mark) : -1;
    *within = at >= 0;
    return at >= 0 ? sld_str_sub(message, 0, (size_t)at + mark.n - 2) : message;
}

void edge_log_parse(struct sld_str line, enum sld_level *level, struct sld_str *component,
                    struct sld_str *message)
{
    // "[W][main] text"
    if (line.n > 5 && line.p[0] == '[' && line.p[2] == ']' && line.p[3] == '[' &&
        level_of(line.p[1], level)) {
        struct sld_str rest = sld_str_sub(line, 4, line.n);
        ptrdiff_t end = sld_str_find(rest, SLD_STR("] "));
        if (end > 0) {
            *component = sld_str_sub(rest, 0, (size_t)end);
            *message = sld_str_sub(rest, (size_t)end + 2, rest.n);
            return;
        }
    }
    *level = SLD_WARN;
    *component = SLD_STR("stderr");
    *message = line;
}
