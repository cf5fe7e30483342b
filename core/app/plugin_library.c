// The library of plugins for people and editors: solder plugin doc --library and --luals, and what solder plugin new
// puts beside a plugin.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "app/commands.h"
#include "app/plugin.h"
#include "plugin/author.h"

enum { TEXT_MAX = 4 << 20 };

int sld_plugin_cli_library(bool html)
{
    struct sld_buf out;
    sld_buf_init(&out, TEXT_MAX);
    if (html)
        sld_library_print_html(&out);
    else
        sld_library_print_manual(&out);
    fwrite(out.p, 1, out.n, stdout);
    sld_buf_fini(&out);
    return SLD_EXIT_OK;
}

static bool write_definitions(const char *path, size_t i)
{
    struct sld_buf out;
    FILE *f = fopen(path, "w");
    if (!f) {
        fprintf(stderr, "solder plugin: %s: %s\n", path, strerror(errno));
        return false;
    }
    sld_buf_init(&out, TEXT_MAX);
    sld_library_print_luals(&out, i);
    bool ok = fwrite(out.p, 1, out.n, f) == out.n;
    sld_buf_fini(&out);
    ok = fclose(f) == 0 && ok;
    if (!ok)
        fprintf(stderr, "solder plugin: %s cannot be written\n", path);
    return ok;
}

static bool make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return true;
    fprintf(stderr, "solder plugin: %s: %s\n", path, strerror(errno));
    return false;
}

int sld_plugin_cli_luals(const char *dir, bool tell)
{
    struct sld_arena a = {0};
    const char *folder = sld_arena_fmt(&a, "%s/solder", dir).p;
    bool ok = make_folder(dir) && make_folder(folder);
    for (size_t i = 0; ok && i < sld_library_count(); i++) {
        const char *path = sld_arena_fmt(&a, "%s/%s.lua", folder, sld_library_name(i)).p;
        ok = write_definitions(path, i);
        if (ok && tell)
            printf("%s\n", path);
    }
    sld_arena_fini(&a);
    return ok ? SLD_EXIT_OK : SLD_EXIT_FINDINGS;
}
