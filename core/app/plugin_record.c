// solder plugin record: requests that a plugin is asked about by a running server, as lines for solder plugin test --replay.
#include <stdio.h>

#include "app/client.h"
#include "app/commands.h"
#include "app/plugin.h"
#include "base/clock.h"
#include "codec/text.h"

enum { COUNT_DEFAULT = 100, COUNT_MAX = 100000, PART = 1000, FOR_DEFAULT_MS = 30000, WAIT_MS = 2000 };

// Prints the lines of BODY, at most MOST; how many there were.
static uint64_t print_lines(struct sld_str body, uint64_t most)
{
    struct sld_str line;
    uint64_t n = 0;
    while (n < most && sld_str_cut(&body, '\n', &line)) {
        if (!line.n)
            continue;
        fwrite(line.p, 1, line.n, stdout);
        putchar('\n');
        n++;
    }
    fflush(stdout);
    return n;
}

static enum sld_rc ask(const struct sld_args *args, struct sld_str name, uint64_t left, uint64_t ms, uint64_t *got, struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_str body;
    struct sld_str path = sld_arena_fmt(&a, "/v1/plugins/%.*s/requests?limit=%llu&for=%llu.%03llus", SLD_FMT(sld_client_escape(&a, name)),
                                        (unsigned long long)(left < PART ? left : PART), (unsigned long long)ms / 1000,
                                        (unsigned long long)ms % 1000);
    enum sld_rc rc = sld_client_get(&a, args, path, &body, err);
    *got = rc ? 0 : print_lines(body, left);
    sld_arena_fini(&a);
    return rc;
}

static int run(struct sld_args *args)
{
    struct sld_str name = sld_str_c(args->pos[0]), count = sld_str_c(sld_args_get(args, "count")), time = sld_str_c(sld_args_get(args, "for"));
    uint64_t left = COUNT_DEFAULT, ms = FOR_DEFAULT_MS, all = 0, got = 0;
    int64_t s = 0;
    int32_t ns = 0;
    struct sld_err err = {0};
    if (!sld_plugin_name_ok(name))
        return sld_usage("a plugin's name is made of a-z, 0-9 and -, not %.*s", SLD_FMT(name));
    if (count.p && (!sld_str_u64(count, &left) || !left || left > COUNT_MAX))
        return sld_usage("--count: a number from 1 to %d, not %.*s", COUNT_MAX, SLD_FMT(count));
    if (time.p && (!sld_duration_parse(time, &s, &ns) || s < 0 || ns < 0))
        return sld_usage("--for: a duration such as 30s or 5m, not %.*s", SLD_FMT(time));
    if (time.p)
        ms = (uint64_t)s * 1000 + (uint64_t)ns / 1000000;
    uint64_t until = sld_mono_ns() / 1000000 + ms, now = sld_mono_ns() / 1000000;
    do {
        if (ask(args, name, left, until - now < WAIT_MS ? until - now : WAIT_MS, &got, &err)) {
            fprintf(stderr, "solder plugin record: %s\n", err.msg);
            return SLD_EXIT_FINDINGS;
        }
        all += got;
        left -= got;
        now = sld_mono_ns() / 1000000;
    } while (left && now < until);
    fprintf(stderr, "%llu requests\n", (unsigned long long)all);
    return SLD_EXIT_OK;
}

static const struct sld_flag flags[] = {
    SLD_CLIENT_FLAGS,
    {.name = "count", .arg = "N", .help = "requests at most; default 100"},
    {.name = "for", .arg = "DURATION", .help = "how long at most; default 30s"},
};

const struct sld_command sld_cmd_plugin_record = {
    .name = "plugin record",
    .args = "NAME",
    .help = "Prints requests that a plugin is asked about, with what it decides.",
    .more = "solder plugin record tenant > requests.jsonl\n"
            "solder plugin test --replay requests.jsonl ./tenant\n\n"
            "Asks the running server for what plugin NAME's hook authorize sees and decides from now on: a line of JSON each. Of hooks that\n"
            "run in Envoy there is none. Values of headers and query parameters that are called like secrets (authorization, cookie,\n"
            "...token..., ...key..., ...) are ***, secrets of the configuration too, and bodies are cut at 1 KiB. What else stands in paths,\n"
            "headers and bodies is in it: look before you give it away. Nothing is kept by the server.\n\n"
            "Exit code 0, even without requests; 1: the server does not answer, or has no such plugin.",
    .flags = flags,
    .flag_count = SLD_ARRAY_LEN(flags),
    .min_pos = 1,
    .max_pos = 1,
    .run = run,
};
