// The process_* metrics, as Prometheus' client libraries have them, from /proc.
#include "admin/inside.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

// Fields of /proc/self/stat behind the process's name, from 0.
enum { FIELD_UTIME = 11, FIELD_STIME = 12, FIELD_VSIZE = 20, FIELD_RSS = 21 };

static bool read_stat(uint64_t *out, size_t n)
{
    struct sld_arena a = {0};
    struct sld_str text = SLD_STR(""), word = SLD_STR_NONE;
    bool ok = access_read_file(&a, SLD_STR("/proc/self/stat"), 4096, &text, NULL) == SLD_OK;
    // The name is in parentheses and may hold anything.
    size_t at = text.n;
    while (at && text.p[at - 1] != ')')
        at--;
    text = sld_str_trim(sld_str_sub(text, at, text.n));
    for (size_t i = 0; ok && i < n; i++) {
        ok = sld_str_cut(&text, ' ', &word);
        if (!sld_str_u64(word, &out[i]))
            out[i] = 0; // the state's letter, negative numbers
    }
    sld_arena_fini(&a);
    return ok;
}

static bool count_fds(uint64_t *out)
{
    DIR *d = opendir("/proc/self/fd");
    uint64_t n = 0;
    if (!d)
        return false;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    *out = n - 1; // the directory's own
    return true;
}

void metrics_process(struct sld_buf *b, int64_t start_ms)
{
    uint64_t stat[FIELD_RSS + 1], fds;
    struct rlimit limit;
    if (read_stat(stat, SLD_ARRAY_LEN(stat))) {
        double ticks = (double)sysconf(_SC_CLK_TCK);
        metric_one(b, "process_cpu_seconds_total", "counter",
                   (double)(stat[FIELD_UTIME] + stat[FIELD_STIME]) / ticks,
                   "User and system CPU time spent.");
        metric_one(b, "process_virtual_memory_bytes", "gauge", (double)stat[FIELD_VSIZE],
                   "Virtual memory.");
        metric_one(b, "process_resident_memory_bytes", "gauge",
                   (double)stat[FIELD_RSS] * (double)sysconf(_SC_PAGESIZE), "Resident memory.");
    }
    metric_one(b, "process_start_time_seconds", "gauge", (double)start_ms / 1000,
               "Unix time of the start of the process.");
    if (count_fds(&fds))
        metric_one(b, "process_open_fds", "gauge", (double)fds, "Open file descriptors.");
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metric_one(b, "process_max_fds", "gauge", (double)limit.rlim_cur,
                   "Ceiling of open file descriptors.");
}
