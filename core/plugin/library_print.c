// The manual of plugins, all of it from the tables of the library: as Markdown, or as one page of HTML.
#include "plugin/author.h"
#include "plugin/library.h"

size_t sld_library_count(void)
{
    return pl_library_count + 1;
}

static const struct pl_module *module_at(size_t i)
{
    return i < pl_library_count ? pl_library[i] : &pl_handles;
}

const char *sld_library_name(size_t i)
{
    return pl_module_word(module_at(i));
}

struct sld_str pl_bare(const char *name)
{
    struct sld_str s = sld_str_c(name);
    s.n -= sld_str_ends(s, SLD_STR("?"));
    return s;
}

size_t pl_value_count(const struct pl_value *values, size_t max)
{
    size_t n = 0;
    while (n < max && values[n].name)
        n++;
    return n;
}

const char *pl_phases_text(const struct pl_binding *b)
{
    if (b->phases == PL_IN_CALLS)
        return " Only in hooks of requests and in tasks.";
    return b->phases == PL_IN_TASK ? " Only in tasks." : "";
}

// ---- A page ----

struct page {
    struct sld_buf *out;
    bool html, listing; // LISTING: items are being written
};

static void put_escaped(struct sld_buf *out, struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '<' || s.p[i] == '>' || s.p[i] == '&' || s.p[i] == '"')
            sld_buf_addf(out, "&#%d;", s.p[i]);
        else
            sld_buf_addc(out, s.p[i]);
    }
}

// Text of a line, in which `...` is code.
static void put_text(struct page *p, struct sld_str s)
{
    bool code = false;
    struct sld_str part;
    if (!p->html) {
        sld_buf_add(p->out, s);
        return;
    }
    while (sld_str_cut(&s, '`', &part)) {
        put_escaped(p->out, part);
        if (s.p)
            sld_buf_addz(p->out, code ? "</code>" : "<code>");
        code = !code;
    }
}

// A name for links.
static void put_id(struct sld_buf *out, const char *title)
{
    for (; *title; title++)
        sld_buf_addc(out, *title == ' ' ? '-' : *title);
}

static void end_list(struct page *p)
{
    if (p->listing)
        sld_buf_addz(p->out, p->html ? "</ul>\n" : "\n");
    p->listing = false;
}

static void put_title(struct page *p, unsigned level, const char *title)
{
    end_list(p);
    if (!p->html) {
        sld_buf_addf(p->out, "%.*s %s\n\n", (int)level, "####", title);
        return;
    }
    sld_buf_addf(p->out, "<h%u%s", level, level == 2 ? " id=\"" : ">");
    if (level == 2) {
        put_id(p->out, title);
        sld_buf_addz(p->out, "\">");
    }
    put_escaped(p->out, sld_str_c(title));
    sld_buf_addf(p->out, "</h%u>\n", level);
}

static void put_paragraph(struct page *p, const char *text, const char *more)
{
    end_list(p);
    if (!text[0])
        return;
    sld_buf_addz(p->out, p->html ? "<p>" : "");
    put_text(p, sld_str_c(text));
    put_text(p, sld_str_c(more));
    sld_buf_addz(p->out, p->html ? "</p>\n" : "\n\n");
}

static void put_code(struct page *p, const char *text)
{
    end_list(p);
    if (!text)
        return;
    if (!p->html) {
        sld_buf_addf(p->out, "```lua\n%s\n```\n\n", text);
        return;
    }
    sld_buf_addz(p->out, "<pre><code>");
    put_escaped(p->out, sld_str_c(text));
    sld_buf_addz(p->out, "</code></pre>\n");
}

static void put_item(struct page *p, struct sld_str name, const char *type, bool may, const char *doc)
{
    if (!p->listing && p->html)
        sld_buf_addz(p->out, "<ul>\n");
    p->listing = true;
    sld_buf_addz(p->out, p->html ? "<li>" : "- ");
    sld_buf_addz(p->out, p->html ? "<code>" : "`");
    sld_buf_add(p->out, name);
    sld_buf_addz(p->out, p->html ? "</code> (<code>" : "` (`");
    p->html ? put_escaped(p->out, sld_str_c(type)) : sld_buf_addz(p->out, type);
    sld_buf_addf(p->out, "%s%s)%s", p->html ? "</code>" : "`", may ? ", or nil" : "", doc[0] ? ": " : "");
    put_text(p, sld_str_c(doc));
    sld_buf_addz(p->out, p->html ? "</li>\n" : "\n");
}

static void put_values(struct page *p, const char *title, const struct pl_value *values, size_t n)
{
    if (n)
        put_paragraph(p, title, ":");
    for (size_t i = 0; i < n; i++) {
        struct sld_str name = pl_bare(values[i].name);
        put_item(p, name, values[i].type, name.n != strlen(values[i].name), values[i].doc);
    }
    end_list(p);
}

// ---- Modules ----

// "json.decode(text, [options])", or "set:contains(address)".
static void call_text(struct sld_buf *out, const struct pl_module *m, const struct pl_binding *b)
{
    const char *object = b->of ? strchr(b->of, '.') : NULL;
    char lower[40] = "";
    for (size_t i = 0; object && object[i + 1] && i < sizeof(lower) - 1; i++)
        lower[i] = (char)(object[i + 1] >= 'A' && object[i + 1] <= 'Z' ? object[i + 1] + 'a' - 'A' : object[i + 1]);
    sld_buf_addf(out, "%s%s%s(", object ? lower : pl_module_word(m), object ? ":" : ".", b->name);
    for (size_t i = 0; i < pl_value_count(b->params, PL_PARAMS_MAX); i++) {
        struct sld_str name = pl_bare(b->params[i].name);
        bool may = name.n != strlen(b->params[i].name);
        sld_buf_addf(out, "%s%s%.*s%s", i ? ", " : "", may ? "[" : "", SLD_FMT(name), may ? "]" : "");
    }
    sld_buf_addz(out, ")");
}

static void put_binding(struct page *p, const struct pl_module *m, const struct pl_binding *b)
{
    struct sld_buf call;
    sld_buf_init(&call, 4096);
    call_text(&call, m, b);
    sld_buf_addc(&call, 0);
    put_title(p, 3, call.p);
    sld_buf_fini(&call);
    put_paragraph(p, b->doc, pl_phases_text(b));
    put_values(p, "Takes", b->params, pl_value_count(b->params, PL_PARAMS_MAX));
    put_values(p, "Gives", b->returns, pl_value_count(b->returns, PL_RETURNS_MAX));
    put_code(p, b->example);
}

static void put_class(struct page *p, const struct pl_class *c)
{
    put_title(p, 3, c->name);
    put_paragraph(p, c->doc, "");
    put_values(p, "Has", c->fields, c->field_count);
}

static void put_module(struct page *p, const struct pl_module *m)
{
    struct sld_arena a = {0};
    put_title(p, 2, m->name);
    put_paragraph(p, m->doc, "");
    struct sld_str line = sld_arena_fmt(&a, "local %s = require \"%s\"", pl_module_word(m), m->name);
    if (p->html)
        put_code(p, line.p);
    else
        sld_buf_addf(p->out, "    %s\n\n", line.p);
    for (size_t i = 0; i < m->value_count; i++) {
        put_title(p, 3, sld_arena_fmt(&a, "%s.%s", pl_module_word(m), m->values[i].name).p);
        put_paragraph(p, m->values[i].doc, "");
    }
    for (size_t i = 0; i < m->binding_count; i++)
        put_binding(p, m, &m->bindings[i]);
    for (size_t i = 0; i < m->class_count; i++)
        put_class(p, &m->classes[i]);
    sld_arena_fini(&a);
}

// ---- Plugins ----

static void put_hook(struct page *p, const struct pl_hook_doc *d)
{
    struct sld_arena a = {0};
    put_title(p, 3, sld_arena_fmt(&a, "%s(%s)", sld_hook_name(d->hook), d->params).p);
    put_paragraph(p, d->doc, "");
    put_code(p, d->example);
    put_paragraph(p, "Its spec:", "");
    put_code(p, d->spec);
    sld_arena_fini(&a);
}

static const char *default_text(struct sld_arena *a, const struct pl_ceiling *c)
{
    const char *at = (const char *)&sld_plugin_limits_default + c->offset;
    uint64_t wide = 0;
    unsigned narrow;
    memcpy(&wide, at, c->unit == PL_NUMBER || c->unit == PL_MILLISECONDS ? sizeof(narrow) : sizeof(wide));
    memcpy(&narrow, at, sizeof(narrow));
    switch (c->unit) {
    case PL_MEBIBYTES:
        return sld_arena_fmt(a, "%llu", (unsigned long long)wide >> 20).p;
    case PL_KIBIBYTES:
        return sld_arena_fmt(a, "%llu", (unsigned long long)wide >> 10).p;
    case PL_MILLISECONDS:
        return sld_arena_fmt(a, "%us", narrow / 1000).p;
    case PL_STEPS_64:
        return sld_arena_fmt(a, "%llu", (unsigned long long)wide).p;
    default:
        return sld_arena_fmt(a, "%u", narrow).p;
    }
}

static void put_ceilings(struct page *p)
{
    struct sld_arena a = {0};
    put_title(p, 2, "Ceilings");
    put_paragraph(p, "Of each plugin and state; `limits` of its Plugin document says others. Who reaches one ends with an error of that call, whatever "
                     "catches errors. Breaches again and again make it rest: `suspendAfter` and `retryAfter` where configuration is made; in the "
                     "worker a configuration whose calls take a quarter of a loop's time by breaching, for some seconds.", "");
    sld_buf_addz(p->out, p->html ? "<table>\n<tr><th>limit</th><th>default</th><th></th></tr>\n" : "| limit | default | |\n|---|---|---|\n");
    for (size_t i = 0; i < pl_ceiling_count; i++)
        sld_buf_addf(p->out, p->html ? "<tr><td><code>%s</code></td><td>%s</td><td>%s</td></tr>\n" : "| `%s` | %s | %s |\n", pl_ceilings[i].name,
                     default_text(&a, &pl_ceilings[i]), pl_ceilings[i].doc);
    sld_buf_addz(p->out, p->html ? "</table>\n" : "\n");
    sld_arena_fini(&a);
}

static void put_plugin(struct page *p)
{
    put_title(p, 2, "The table of a plugin");
    put_paragraph(p, "`plugin.lua` returns a table; what it does not know is an error. Tables and variables that are made while it loads are "
                     "read-only afterwards.", "");
    put_values(p, "Has", pl_handles.values, pl_handles.value_count);
    put_title(p, 2, "Hooks");
    put_paragraph(p, "Functions of that table. Each gets its configuration with defaults.", "");
    for (size_t i = 0; i < pl_hook_doc_count; i++)
        put_hook(p, &pl_hook_docs[i]);
    put_title(p, 2, "What hooks are given");
    for (size_t i = 0; i < pl_handles.class_count; i++) {
        put_class(p, &pl_handles.classes[i]);
        for (size_t k = 0; k < pl_handles.binding_count; k++) {
            const struct pl_binding *b = &pl_handles.bindings[k];
            if (strcmp(b->of, pl_handles.classes[i].name) == 0)
                put_binding(p, &pl_handles, b);
        }
    }
    put_ceilings(p);
}

// ---- All of it ----

static void put_manual(struct page *p)
{
    put_title(p, 1, "The library of plugins");
    put_paragraph(p, "A module is required where the plugin loads. Wrong arguments raise an error with the place in the plugin; what is wrong with "
                     "data from outside gives nil and words. Everything counts steps and memory of the plugin. In pure phases, which are loading, "
                     "checking and shaping, there is neither chance nor clock nor memory of earlier calls.", "");
    put_plugin(p);
    for (size_t i = 0; i < pl_library_count; i++)
        put_module(p, pl_library[i]);
}

void sld_library_print_manual(struct sld_buf *out)
{
    struct page p = {.out = out};
    put_manual(&p);
}

static void put_nav(struct sld_buf *out)
{
    static const char *const chapters[] = {"The table of a plugin", "Hooks", "What hooks are given", "Ceilings"};
    sld_buf_addz(out, "<nav>\n");
    for (size_t i = 0; i < SLD_ARRAY_LEN(chapters); i++) {
        sld_buf_addz(out, "<a href=\"#");
        put_id(out, chapters[i]);
        sld_buf_addf(out, "\">%s</a>\n", chapters[i]);
    }
    for (size_t i = 0; i < pl_library_count; i++)
        sld_buf_addf(out, "<a href=\"#%s\">%s</a>\n", pl_library[i]->name, pl_library[i]->name);
    sld_buf_addz(out, "</nav>\n");
}

void sld_library_print_html(struct sld_buf *out)
{
    struct page p = {.out = out, .html = true};
    sld_buf_addz(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>The library of plugins</title>\n<style>\n"
                      "body{font:16px/1.5 sans-serif;max-width:50rem;margin:0 auto;padding:1rem}\n"
                      "nav a{display:inline-block;margin-right:.8rem}\n"
                      "pre{background:#f4f4f4;padding:.7rem;overflow-x:auto}\ncode{font:14px monospace}\n"
                      "h2{border-top:1px solid #ccc;padding-top:1rem}\ntd,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}\n"
                      "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#262626}a{color:#8cf}}\n"
                      "</style>\n</head>\n<body>\n");
    put_nav(out);
    put_manual(&p);
    sld_buf_addz(out, "</body>\n</html>\n");
}

void sld_library_print_luals(struct sld_buf *out, size_t i)
{
    pl_luals_print(out, module_at(i));
}
