// Lines that ran. Files are known by their chunks' names.
#include "plugin/kit.h"

static size_t count_lines(struct sld_str text)
{
    size_t n = 2; // a line 0, and the first
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n' || text.p[i] == '\r'; // Lua counts either, and a pair of them once
    return n;
}

void pl_cover_init(struct pl_cover *cover, const struct sld_plugin_bundle *b)
{
    cover->bundle = b;
    cover->ran = SLD_ARENA_ARRAY(&cover->arena, bool *, b->count + 1);
    cover->lines = SLD_ARENA_ARRAY(&cover->arena, size_t, b->count + 1);
}

void pl_cover_line(struct pl_cover *cover, lua_State *L, lua_Debug *ar)
{
    lua_getinfo(L, "Sl", ar);
    if (ar->source != cover->last) {
        const struct sld_plugin_bundle *b = cover->bundle;
        size_t i = 0;
        while (i < b->count && !(ar->source[0] == '@' && sld_str_eq(b->files[i].name, sld_str_c(ar->source + 1))))
            i++;
        cover->last = ar->source;
        cover->last_file = i;
        if (i < b->count && !cover->ran[i]) {
            cover->lines[i] = count_lines(b->files[i].text);
            cover->ran[i] = SLD_ARENA_ARRAY(&cover->arena, bool, cover->lines[i]);
        }
    }
    size_t file = cover->last_file;
    if (cover->ran[file] && ar->currentline > 0 && (size_t)ar->currentline < cover->lines[file])
        cover->ran[file][ar->currentline] = true;
}

void pl_cover_fini(struct pl_cover *cover)
{
    sld_arena_fini(&cover->arena);
}
